// The picture that is asked with, or the part of it, small.

import { useState } from "preact/hooks";

import type { Box } from "../address";

interface Props {
  address: string;
  crop?: Box;
  /** In pixels, where it is known before the picture is there. */
  size?: { width: number; height: number };
}

export function QueryPicture({ address, crop, size }: Props) {
  const [loaded, setLoaded] = useState(size);
  const [unseen, setUnseen] = useState(false);
  if (unseen) return <span class="unseen">no preview</span>; // the service may read it all the same
  const part = crop && loaded && showing(crop, loaded);
  return (
    <span class={part ? "query-picture part" : "query-picture"} style={part?.frame}>
      <img
        src={address}
        alt=""
        style={part?.picture}
        onError={() => setUnseen(true)}
        onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) =>
          size ?? setLoaded({ width, height })
        }
      />
    </span>
  );
}

/** The styles by which a frame shows this box of a picture and nothing else. */
function showing(box: Box, { width, height }: { width: number; height: number }) {
  const percent = (share: number) => `${(100 * share).toFixed(3)}%`;
  return {
    frame: { aspectRatio: `${box.width} / ${box.height}` },
    picture: {
      width: percent(width / box.width),
      height: percent(height / box.height),
      left: percent(-box.x / box.width),
      top: percent(-box.y / box.height),
    },
  };
}
