/** The frame: project tree, manuscript, panel. */
export function App() {
  return (
    <>
      <nav />
      <main />
      <aside />
    </>
  );
}
