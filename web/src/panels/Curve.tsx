import type { Job } from "../api";
import { number, useT } from "../i18n";

const WIDTH = 600;
const HEIGHT = 180;
const LEFT = 44;
const BOTTOM = 24;

type Point = { step: number; value: number };

/** Loss over steps, for the texts that are trained on and for those held out. */
export function Curve({ points }: { points: Job["curve"] }) {
  const t = useT();
  const train = points.flatMap(({ step, loss }) => (loss == null ? [] : [{ step, value: loss }]));
  const dev = points.flatMap(({ step, dev }) => (dev == null ? [] : [{ step, value: dev }]));
  const all = [...train, ...dev];
  if (all.length < 2) return null;
  const last = Math.max(...all.map((point) => point.step));
  const low = Math.min(...all.map((point) => point.value));
  const high = Math.max(...all.map((point) => point.value));
  const x = (step: number) => LEFT + ((WIDTH - LEFT - 8) * step) / Math.max(1, last);
  const y = (value: number) => 8 + (HEIGHT - BOTTOM - 16) * (1 - (value - low) / (high - low || 1));
  const line = (some: Point[]) => some.map((point) => `${x(point.step).toFixed(1)},${y(point.value).toFixed(1)}`).join(" ");
  const shown = (value: number) => number(value, { maximumFractionDigits: 2, minimumFractionDigits: 2 });
  const label = t("train.curve.alt", { first: shown(all[0]!.value), last: shown((dev.at(-1) ?? all.at(-1)!).value) });
  return (
    <figure className="curve">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
        {[low, (low + high) / 2, high].map((value) => (
          <g key={value}>
            <line x1={LEFT} x2={WIDTH - 8} y1={y(value)} y2={y(value)} />
            <text x={LEFT - 6} y={y(value) + 4} textAnchor="end">
              {shown(value)}
            </text>
          </g>
        ))}
        <text x={LEFT} y={HEIGHT - 4}>
          0
        </text>
        <text x={WIDTH - 8} y={HEIGHT - 4} textAnchor="end">
          {number(last)}
        </text>
        <polyline className="curve-train" points={line(train)} />
        <polyline className="curve-dev" points={line(dev)} />
        {dev.map((point) => (
          <circle key={point.step} className="curve-dev" cx={x(point.step)} cy={y(point.value)} r="2.5" />
        ))}
      </svg>
      <figcaption className="row quiet-text">
        <span className="key-train">{t("train.curve.train")}</span>
        {dev.length > 0 && <span className="key-dev">{t("train.curve.dev")}</span>}
      </figcaption>
    </figure>
  );
}
