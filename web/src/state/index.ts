export { busy, noGeneration, useGeneration, type GenerationInfo, type Phase } from "./generation";
export { useProject } from "./project";
export { useScene, type Passage, type Saving, type SceneInfo } from "./scene";
export { useSettings } from "./settings";
