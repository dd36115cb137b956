import { defineConfig } from "vite";

// The built page is served by the studio itself under a strict content-security policy: no inline script, no data: URL,
// no outside request. While developing, `npm run dev` serves the page and passes the API on to a running studio.
export default defineConfig({
  esbuild: { jsx: "automatic" },
  base: "/",
  build: {
    outDir: "../src/storyteller/studio/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    sourcemap: false,
    chunkSizeWarningLimit: 800,
  },
  server: {
    port: 5173,
    proxy: { "/api": { target: process.env.STUDIO ?? "http://127.0.0.1:8321", changeOrigin: true } },
  },
});
