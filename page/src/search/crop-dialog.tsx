// Choosing a part of the query: by dragging a box, or by its numbers.

import { useEffect, useRef, useState } from "preact/hooks";

import type { Box } from "../address";
import { refine } from "../session";
import { type Size, clamped, dragged } from "./box";
import { Icon } from "../icons";

interface Props {
  picture: string;
  /** In pixels; of a file of the reader's it is known once the browser has read it. */
  size?: Size;
  crop?: Box;
  onClose: () => void;
}

const FIELDS = [
  ["x", "Left"],
  ["y", "Top"],
  ["width", "Width"],
  ["height", "Height"],
] as const;

export function CropDialog({ picture, size: given, crop, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [size, setSize] = useState(given);
  const [box, setBox] = useState(crop);
  const [unseen, setUnseen] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const searchWith = (part?: Box) => {
    onClose();
    refine({ crop: part });
  };
  return (
    <dialog ref={dialog} class="crop" aria-labelledby="crop-title" onClose={onClose}>
      <header>
        <h2 id="crop-title">Search by a part</h2>
        <button type="button" aria-label="Close" class="plain" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <p>Drag a box over what matters, or give it in pixels.</p>
      {unseen ? (
        <p>This browser cannot draw the picture.</p>
      ) : (
        <Stage
          picture={picture}
          size={size}
          box={box}
          onBox={setBox}
          onUnseen={() => setUnseen(true)}
          onSize={(loaded) => setSize(given ?? loaded)}
        />
      )}
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          if (box) searchWith(box);
        }}
      >
        <div class="crop-fields">
          {FIELDS.map(([field, text]) => (
            <label key={field}>
              {text}
              <input
                type="number"
                min={field === "x" || field === "y" ? 0 : 1}
                step={1}
                inputMode="numeric"
                value={box ? Math.round(box[field]) : ""}
                onChange={({ currentTarget }) =>
                  size && setBox(withNumber(box, field, currentTarget.valueAsNumber, size))
                }
              />
            </label>
          ))}
        </div>
        <div class="crop-buttons">
          {crop && (
            <button type="button" onClick={() => searchWith(undefined)}>
              <Icon name="whole" />
              Whole picture
            </button>
          )}
          <button type="submit" class="primary" disabled={!box}>
            Search this part
          </button>
        </div>
      </form>
    </dialog>
  );
}

interface StageProps {
  picture: string;
  size?: Size;
  box?: Box;
  onBox: (box: Box | undefined) => void;
  onSize: (size: Size) => void;
  onUnseen: () => void;
}

function Stage({ picture, size, box, onBox, onSize, onUnseen }: StageProps) {
  const from = useRef<[number, number]>(undefined);
  const at = (event: preact.TargetedPointerEvent<HTMLElement>, size: Size): [number, number] => {
    const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
    const { width: w, height: h } = size;
    return [((event.clientX - left) / width) * w, ((event.clientY - top) / height) * h];
  };
  return (
    <div
      class="crop-stage"
      style={{ "--ratio": size ? size.width / size.height : 1 }}
      onPointerDown={(event) => {
        if (!size || event.button) return;
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        from.current = at(event, size);
      }}
      onPointerMove={(event) => {
        if (from.current && size) onBox(dragged(from.current, at(event, size), size));
      }}
      onPointerUp={() => {
        from.current = undefined;
      }}
    >
      <img
        src={picture}
        alt="Your query"
        draggable={false}
        onError={onUnseen}
        onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) =>
          onSize({ width, height })
        }
      />
      {box && size && <span class="crop-box" style={placed(box, size)} />}
    </div>
  );
}

const placed = (box: Box, size: Size) => ({
  left: `${(100 * box.x) / size.width}%`,
  top: `${(100 * box.y) / size.height}%`,
  width: `${(100 * box.width) / size.width}%`,
  height: `${(100 * box.height) / size.height}%`,
});

function withNumber(box: Box | undefined, field: keyof Box, value: number, size: Size): Box {
  const whole = { x: 0, y: 0, ...size };
  return clamped({ ...(box ?? whole), [field]: Number.isFinite(value) ? value : 0 }, size);
}
