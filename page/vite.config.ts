import { defineConfig } from "vite";

// Fixed names: what is built lies in the repository, and the service has the browser ask anew.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/lookalike/serve/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    rolldownOptions: {
      output: { entryFileNames: "page.js", assetFileNames: "page[extname]" },
    },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000" } },
});
