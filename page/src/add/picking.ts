// The files in what was dropped or chosen, those of folders and of all folders in them as well.

export interface Picked {
  file: File;
  /** The name of the folder that it lay in, empty if it came by itself. */
  folder: string;
}

/** Must be called while the event is handled: what was dropped is forgotten after it. */
export function picked(dropped: DataTransfer): Promise<Picked[]> {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry());
  const files = [...dropped.files];
  const hasFolder = entries.some((entry) => entry?.isDirectory);
  if (!hasFolder) return Promise.resolve(files.map((file) => ({ file, folder: "" })));
  return every(entries.filter((entry) => entry !== null));
}

/** Of an input that takes a folder. */
export const pickedBy = (files: Iterable<File>): Picked[] =>
  [...files].map((file) => ({ file, folder: file.webkitRelativePath.split("/").at(-2) ?? "" }));

/** Whether it may be a picture; the service knows better, but need not be sent everything. */
export const mayBePicture = ({ name, type }: File) =>
  !name.startsWith(".") &&
  (type.startsWith("image/") || /\.(heic|heif|avif|jp2|tiff?|tga|ppm|pgm|dds|ico|jxl)$/i.test(name));

async function every(entries: FileSystemEntry[], folder = ""): Promise<Picked[]> {
  const found: Picked[] = [];
  for (const entry of entries) {
    if (isFile(entry)) found.push({ file: await fileOf(entry), folder });
    else if (isFolder(entry)) found.push(...(await every(await entriesOf(entry), entry.name)));
  }
  return found;
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // A hundred at a time, until there are none.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (!some.length) return all;
    all.push(...some);
  }
}

const fileOf = (entry: FileSystemFileEntry) =>
  new Promise<File>((resolve, reject) => entry.file(resolve, reject));

const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;
const isFolder = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry => entry.isDirectory;
