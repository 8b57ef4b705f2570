import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  RowBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { ANNOTATIONS } from './annotations.ts';
import { DATASOURCE, GRID_COLUMNS, type GridPosition, type Sized } from './panels.ts';
import { inputsRow } from './rows/inputs.ts';
import { logAndCardRow } from './rows/log-and-card.ts';
import { promiseRow } from './rows/promise.ts';
import { readingsRow } from './rows/readings.ts';
import { storeAndForwardRow } from './rows/store-and-forward.ts';
import { VARIABLES } from './variables.ts';

/** Part of the dashboard's address: links and bookmarks rely on it. */
export const DASHBOARD_UID = 'holdfast-hub';

/** Row panels have ids 10, 20, ...; the panels in them those that follow. */
const ROWS = [
  { id: 10, title: 'The promise', panels: promiseRow() },
  { id: 20, title: 'Readings', panels: readingsRow() },
  { id: 30, title: 'Store and forward', panels: storeAndForwardRow() },
  { id: 40, title: 'The log and the card', panels: logAndCardRow() },
  { id: 50, title: 'Inputs', panels: inputsRow() },
];

/** Places panels from left to right below `top`, and says where the next row begins. */
function place(panels: readonly Sized[], top: number) {
  const positions: GridPosition[] = [];
  let x = 0;
  let y = top;
  let lineRows = 0;
  for (const { columns, rows } of panels) {
    if (x + columns > GRID_COLUMNS) {
      x = 0;
      y += lineRows;
      lineRows = 0;
    }
    positions.push({ x, y, w: columns, h: rows });
    x += columns;
    lineRows = Math.max(lineRows, rows);
  }
  return { positions, bottom: y + lineRows };
}

function withRows(dashboard: DashboardBuilder): DashboardBuilder {
  let y = 0;
  for (const { id, title, panels } of ROWS) {
    dashboard.withRow(
      new RowBuilder(title)
        .id(id)
        .datasource(DATASOURCE)
        .gridPos({ x: 0, y, w: GRID_COLUMNS, h: 1 }),
    );
    const { positions, bottom } = place(panels, y + 1);
    for (const [index, position] of positions.entries()) {
      const panel = panels[index]?.panel;
      if (panel) dashboard.withPanel(panel.gridPos(position));
    }
    y = bottom;
  }
  return dashboard;
}

/** The dashboard, in Grafana's classic JSON model. */
export function holdfastHub(): Dashboard {
  const dashboard = new DashboardBuilder('Holdfast hub')
    .uid(DASHBOARD_UID)
    .description(
      'One or more Holdfast hubs: whether what was acknowledged arrives, what the devices ' +
        'measured, and what to do when something looks wrong (hover over the i of a panel). ' +
        'Grafana 10 or later.',
    )
    .tags(['holdfast', 'iot-hub'])
    .timezone('browser')
    .time({ from: 'now-3h', to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .readonly()
    .variables(VARIABLES)
    .annotations(ANNOTATIONS);
  return withRows(dashboard).build();
}
