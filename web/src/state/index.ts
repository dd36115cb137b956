export { busy, noGeneration, useGeneration, type CandidateInfo, type GenerationInfo, type Phase } from "./generation";
export { useProject } from "./project";
export { closedScene, useScene, type Passage, type Saving, type SceneInfo } from "./scene";
export { useSettings } from "./settings";
