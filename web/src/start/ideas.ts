import type { Language } from "../i18n";

/** Beginnings of our own, to be taken as they are or changed. */
export const ideas: Record<Language, string[]> = {
  en: [
    "A lighthouse keeper finds a talking seal who has come to return something.",
    "The last tram of the night goes one stop further than its line.",
    "Two sisters inherit a clock that is always seven minutes ahead, and right.",
    "A boy who cannot whistle is asked to call the wind.",
    "The village baker wakes up to find that his bread remembers yesterday.",
    "A cartographer is paid to leave one island off the map.",
    "An old robot teaches a new one how to wait.",
    "Every letter in the dead-letter office is addressed to the same girl.",
    "A fox opens a school, and the hens enrol.",
    "On the longest night of the year the snow begins to fall upwards.",
    "A retired thief must break into her own house.",
    "Grandmother's recipe has an ingredient that nobody dares to read aloud.",
  ],
  zh: [
    "守灯塔的老人遇见一只会说话的海豹，它是来还东西的。",
    "末班电车多开了一站，到了线路图上没有的地方。",
    "姐妹俩继承了一座钟，它永远快七分钟，而且从不出错。",
    "不会吹口哨的男孩，被请去唤风。",
    "面包师一早醒来，发现他的面包记得昨天的事。",
    "有人付钱给画地图的人，请他把一座岛漏掉。",
    "一台旧机器人教一台新机器人怎样等待。",
    "邮局里无法投递的信，全都写给同一个女孩。",
    "狐狸开了一所学校，母鸡们来报名。",
    "一年中最长的那个夜晚，雪开始往天上落。",
    "金盆洗手的老贼，必须潜进自己的家。",
    "外婆的菜谱里有一味料，谁也不敢念出声。",
  ],
};
