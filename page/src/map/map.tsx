// The map of a collection: what is alike lies near each other.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { start } from "../address";
import { Icon } from "../icons";
import { useLoaded } from "../loading";
import { type Collection, type MapPoint, map, thumbnailOf } from "../service";
import { addressOf, navigate } from "../session";
import { counted, number } from "../wording";
import { Chart } from "./chart";
import { type Legend, legendOf } from "./legend";

export function MapView({ collection: { name } }: { collection: Collection }) {
  const loaded = useLoaded(name, (signal) => map(name, signal));
  return (
    <section class="map" aria-labelledby="map-title">
      <header class="view-head">
        <div>
          <h1 id="map-title" tabIndex={-1}>
            Map
          </h1>
          <p role="status">{loaded ? about(loaded.points.length, loaded.total) : "Drawing the map …"}</p>
        </div>
      </header>
      {loaded && <Drawn points={loaded.points} name={name} />}
    </section>
  );
}

const about = (shown: number, total: number) =>
  shown < total
    ? `${number(shown)} of ${counted(total)}, evenly chosen; alike lies near alike.`
    : `${counted(total)}; alike lies near alike.`;

function Drawn({ points, name }: { points: MapPoint[]; name: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const chart = useRef<Chart>(undefined);
  const [focused, setFocused] = useState<MapPoint>();
  const [highlighted, setHighlighted] = useState<string>();
  const legend = useMemo(() => legendOf(points), [points]);
  useEffect(() => {
    if (!canvas.current) return;
    const drawn = new Chart(canvas.current, points, name, legend.colourOf, {
      onFocus: setFocused,
      onOpen: ({ id }) => void navigate({ ...start(name), like: id }),
    });
    chart.current = drawn;
    return () => drawn.close();
  }, [points, name, legend]);
  const highlight = (label: string | undefined) => {
    setHighlighted(label);
    chart.current?.highlight(label);
  };
  return (
    <>
      <Labels legend={legend} highlighted={highlighted} onHighlight={highlight} />
      <div class="chart">
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-label={`Map of ${counted(points.length)}. Arrow keys go from picture to picture, Enter finds more like it, plus and minus zoom.`}
        />
        <div class="chart-buttons">
          <button type="button" aria-label="Zoom in" onClick={() => chart.current?.zoom(1.5)}>
            <Icon name="add" />
          </button>
          <button type="button" aria-label="Zoom out" onClick={() => chart.current?.zoom(1 / 1.5)}>
            <Icon name="minus" />
          </button>
          <button type="button" aria-label="Show all" onClick={() => chart.current?.whole()}>
            <Icon name="whole" />
          </button>
        </div>
        {focused && <Card point={focused} name={name} />}
      </div>
      <p class="unseen-status" role="status">
        {focused && (focused.label ?? "A picture without a label")}
      </p>
      <p class="about chart-help">
        Drag to move, scroll or pinch to zoom, click a picture for more like it. By keyboard: arrows, plus
        and minus, Enter.
      </p>
    </>
  );
}

const Card = ({ point, name }: { point: MapPoint; name: string }) => (
  <a class="chart-card" href={addressOf({ ...start(name), like: point.id })} tabIndex={-1}>
    <img src={`${thumbnailOf(name, point.id)}?side=256`} alt="" />
    <span>{point.label ?? "no label"}</span>
  </a>
);

interface LabelsProps {
  legend: Legend;
  highlighted?: string;
  onHighlight: (label: string | undefined) => void;
}

const Labels = ({ legend, highlighted, onHighlight }: LabelsProps) => (
  <div class="legend" role="group" aria-label="Labels">
    {legend.frequent.map(({ label, colour }) => (
      <button
        key={label}
        type="button"
        aria-pressed={label === highlighted}
        onClick={() => onHighlight(label === highlighted ? undefined : label)}
      >
        <span class={`dot ${colour}`} />
        {label}
      </button>
    ))}
    {legend.others.length > 0 && (
      <select
        aria-label="Another label"
        value={legend.others.find((label) => label === highlighted) ?? ""}
        onChange={({ currentTarget }) => onHighlight(currentTarget.value || undefined)}
      >
        <option value="">{`${legend.others.length} more`}</option>
        {legend.others.map((label) => (
          <option key={label}>{label}</option>
        ))}
      </select>
    )}
  </div>
);
