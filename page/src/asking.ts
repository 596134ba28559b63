// The query as it is shown: what it is called, something about it, its pictures.

import type { Wanted } from "./address";
import { type Stored, picture, thumbnailOf } from "./service";
import { bytes } from "./wording";

export interface Asked {
  title: string;
  about: string;
  /** Addresses of the pictures: thumbnails, and the same as large as they come. */
  pictures: { small: string; large: string }[];
  stored?: Stored;
}

export function askedWith(wanted: Wanted): Promise<Asked> {
  if (wanted.like) return withStored(wanted.name, wanted.like);
  return Promise.resolve(wanted.text ? inWords(wanted.text) : withFiles(wanted.files ?? []));
}

async function withStored(name: string, id: string): Promise<Asked> {
  const stored = await picture(name, id);
  const size = stored.width ? `${stored.width} × ${stored.height} · ` : "";
  const place = stored.path.split("/").slice(-2).join("/");
  const address = thumbnailOf(name, stored.id);
  return {
    stored,
    title: place,
    about: `${size}${stored.format} · ${place}`,
    pictures: [{ small: `${address}?side=384`, large: `${address}?side=1024` }],
  };
}

const inWords = (text: string): Asked => ({ title: text, about: "In words", pictures: [] });

function withFiles(files: File[]): Asked {
  const [first] = files;
  const title = files.length === 1 ? first?.name ?? "" : `${files.length} pictures as one`;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const pictures = files.map((file) => {
    const address = URL.createObjectURL(file);
    return { small: address, large: address };
  });
  return { title: title || "Your picture", about: `Yours · ${bytes(size)}`, pictures };
}
