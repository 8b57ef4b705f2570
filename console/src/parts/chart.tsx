import { effect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import type { Series } from '../series.ts';
import { hubMs, localMs } from '../store.ts';

export interface ChartProps {
  readonly series: Series;
  readonly windowMs: number;
  /** `spark`: the line alone. `full`: with axes and the value under the pointer. */
  readonly kind: 'spark' | 'full';
  readonly label: string;
  /** Starts at the first point instead of showing an empty past, but shows five seconds. */
  readonly fit?: boolean;
  readonly fromZero?: boolean;
  /** Called when the chart comes on screen and when it leaves. */
  onVisible?(visible: boolean): void;
}

const darkScheme = matchMedia('(prefers-color-scheme: dark)');
/** A window of 30 min moves by one pixel in about 10 s: without new points it need not be drawn. */
const REDRAW_MS = 10_000;
const FITTED_MS_MIN = 5_000;

/** A steady value gets room around it, so that noise in the last digit is no mountain. */
function valueRange(_: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  if (min === null || max === null) return [0, 1];
  const pad = Math.max((max - min) * 0.1, Math.abs(max) * 0.004, 1e-6);
  return [min - pad, max + pad];
}

/** A rate is read against standstill. */
function rangeFromZero(_: uPlot, __: number | null, max: number | null): uPlot.Range.MinMax {
  return [0, Math.max(1, (max ?? 0) * 1.15)];
}

function optionsFor({ kind, fromZero }: ChartProps, box: HTMLElement): uPlot.Options {
  const css = getComputedStyle(box);
  const color = (name: string) => css.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: color('--ink-2'),
    font: '11px system-ui, sans-serif',
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
  };
  const full = kind === 'full';
  return {
    width: Math.max(1, box.clientWidth),
    height: Math.max(1, box.clientHeight),
    padding: full ? [8, 8, 0, 0] : [3, 1, 3, 1],
    legend: { show: false },
    cursor: full ? { drag: { x: false, y: false }, y: false } : { show: false },
    scales: { x: { time: true }, y: { range: fromZero ? rangeFromZero : valueRange } },
    axes: full
      ? [
          { ...axis, size: 26, space: 70, values: '{HH}:{mm}' },
          { ...axis, size: 48, space: 28 },
        ]
      : [{ show: false }, { show: false }],
    series: [
      {},
      {
        stroke: color('--spark'),
        fill: color('--spark-fill'),
        width: full ? 1.75 : 1.5,
        // A line needs two points; a lone one would be invisible.
        points: { show: (plot) => (plot.data[0]?.length ?? 0) < 3, size: 4 },
      },
    ],
  };
}

/** A chart that draws itself when its series moved, and only while it is on screen. */
function mountChart(box: HTMLElement, readout: HTMLElement | null, props: ChartProps): () => void {
  let plot: uPlot | undefined;
  let visible = false;
  let drawnVersion = -1;
  let drawnMs = 0;

  const draw = () => {
    if (!plot || !visible) return;
    const nowMs = hubMs.peek();
    if (props.series.version === drawnVersion && nowMs - drawnMs < REDRAW_MS) return;
    drawnVersion = props.series.version;
    drawnMs = nowMs;
    const data = props.series.chart(nowMs);
    const startMs = nowMs - props.windowMs;
    const firstMs = Math.min((data[0][0] ?? 0) * 1000, nowMs - FITTED_MS_MIN);
    plot.batch(() => {
      plot?.setData(data, false);
      const min = (props.fit ? Math.max(startMs, firstMs) : startMs) / 1000;
      plot?.setScale('x', { min, max: nowMs / 1000 });
    });
  };
  const build = () => {
    plot?.destroy();
    const options = optionsFor(props, box);
    if (readout) options.hooks = { setCursor: [(shown) => showCursor(shown, readout)] };
    plot = new uPlot(options, [[], []], box);
    drawnVersion = -1;
    draw();
  };
  const onSeen: IntersectionObserverCallback = (entries) => {
    visible = entries.at(-1)?.isIntersecting ?? false;
    props.onVisible?.(visible);
    if (visible && !plot) build();
    draw();
  };
  // One card ahead, so that a chart is there when it is scrolled to.
  const seen = new IntersectionObserver(onSeen, { rootMargin: '150px' });
  const sized = new ResizeObserver(() => {
    plot?.setSize({ width: Math.max(1, box.clientWidth), height: Math.max(1, box.clientHeight) });
  });
  seen.observe(box);
  sized.observe(box);
  darkScheme.addEventListener('change', build);
  const stop = effect(() => {
    localMs.value;
    draw();
  });
  return () => {
    stop();
    seen.disconnect();
    sized.disconnect();
    darkScheme.removeEventListener('change', build);
    props.onVisible?.(false);
    plot?.destroy();
  };
}

const pointTime = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

function showCursor(plot: uPlot, readout: HTMLElement): void {
  const index = plot.cursor.idx;
  const timeS = index == null ? undefined : plot.data[0]?.[index];
  const value = index == null ? undefined : plot.data[1]?.[index];
  readout.textContent =
    timeS == null || value == null
      ? ''
      : `${pointTime.format(timeS * 1000)}  ${Number(value.toPrecision(6))}`;
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLParagraphElement>(null);
  useEffect(() => {
    if (!box.current) return undefined;
    return mountChart(box.current, readout.current, props);
  }, [props.series, props.kind]);
  return (
    <>
      {props.kind === 'full' && <p ref={readout} class="chart-readout" aria-live="off" />}
      <div ref={box} class={`chart ${props.kind}`} role="img" aria-label={props.label} />
    </>
  );
}
