/** The manuscript: its editor, and what the rest of the page may ask of it. */
export { Manuscript } from "./Manuscript";
export { manuscript } from "./commands";
