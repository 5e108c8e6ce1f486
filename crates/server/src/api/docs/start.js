// Everything that the library would ask of other hosts is off: fonts, telemetry, its agent, its proxy.
// Its client for requests is off too: axe finds faults in it, and it shows the key that somebody types.
// Addresses are relative, so that the page works behind a proxy that puts a path before it.
const here = new URL('.', document.baseURI).href.replace(/\/$/, '')

// The library's own grey and colors are too pale to read for people who see little (WCAG 2, 1.4.3).
const colors = `
  .light-mode {
    --scalar-color-2: #555;
    --scalar-color-3: #636363;
    --scalar-color-green: #00673f;
    --scalar-color-blue: #005a94;
    --scalar-color-orange: #9a3d00;
    --scalar-color-red: #b00004;
    --scalar-color-yellow: #6f5200;
    --scalar-color-purple: #5203d1;
  }
  .dark-mode {
    --scalar-color-2: #c4c4c4;
    --scalar-color-3: #b0b0b0;
    --scalar-color-red: #ff9b9e;
  }
`

Scalar.createApiReference('#reference', {
  url: 'openapi.json',
  servers: [{ url: here }],
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  showDeveloperTools: 'never',
  hideClientButton: true,
  hideTestRequestButton: true,
  customCss: colors,
})
