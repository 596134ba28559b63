// Line drawings on a grid of 24, in the colour of the text around them.

const PATHS = {
  add: "M12 5v14M5 12h14",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7",
  chart: "M5 20v-7M12 20V4M19 20v-11",
  close: "M6 6l12 12M18 6L6 18",
  compare: "M12 3v18M9 6H4v12h5M15 6h5v12h-5",
  crop: "M7 2v15h15M2 7h15v15",
  duplicates: "M8 8V4h12v12h-4M4 8h12v12H4z",
  folder: "M3 6h6l2 2h10v11H3z",
  map: "M6 7a2 2 0 1 0 0-.01M17 6a1.5 1.5 0 1 0 0-.01M11 14a2 2 0 1 0 0-.01M18 17a2 2 0 1 0 0-.01M5 18a1.5 1.5 0 1 0 0-.01",
  minus: "M5 12h14",
  pause: "M8 5v14M16 5v14",
  play: "M8 5l11 7-11 7z",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14M16.5 16.5L21 21",
  sliders: "M4 7h10M18 7h2M4 17h2M10 17h10M16 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M8 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5",
  unlike: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M8 12h8",
  up: "M12 19V6M6 11l6-6 6 6",
  whole: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
} as const;

export const Icon = ({ name }: { name: keyof typeof PATHS }) => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d={PATHS[name]} />
  </svg>
);
