import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { HTTP_PORT } from '../../config/schema.ts';
import { DATASOURCE_NAME, DATASOURCE_UID } from '../../grafana-dashboards/variables.ts';

const FOLDER = join(import.meta.dirname, '../../../grafana-dashboards/provisioning');

const DATASOURCES = z.strictObject({
  apiVersion: z.literal(1),
  datasources: z.array(
    z.strictObject({
      name: z.string(),
      uid: z.string(),
      type: z.literal('prometheus'),
      access: z.literal('proxy'),
      url: z.url(),
      isDefault: z.boolean(),
      editable: z.literal(false),
      jsonData: z.strictObject({
        httpMethod: z.literal('POST'),
        timeInterval: z.string(),
        incrementalQuerying: z.literal(false),
        manageAlerts: z.boolean(),
      }),
    }),
  ),
});

const PROVIDERS = z.strictObject({
  apiVersion: z.literal(1),
  providers: z.array(
    z.strictObject({
      name: z.string(),
      folder: z.string(),
      type: z.literal('file'),
      allowUiUpdates: z.literal(false),
      disableDeletion: z.boolean(),
      updateIntervalSeconds: z.literal(30),
      options: z.strictObject({ path: z.string().startsWith('/') }),
    }),
  ),
});

const SCRAPE = z.strictObject({
  scrape_configs: z.array(
    z.strictObject({
      job_name: z.literal('holdfast'),
      scrape_interval: z.string(),
      metrics_path: z.literal('/metrics'),
      static_configs: z.array(
        z.strictObject({
          targets: z.array(z.string()),
          labels: z.strictObject({ hub: z.string() }),
        }),
      ),
    }),
  ),
});

const read = async (path: string): Promise<unknown> =>
  parse(await readFile(join(FOLDER, path), 'utf8'));

describe('Grafana provisioning', () => {
  it('gives the data source the uid that the dashboard starts with', async () => {
    const { datasources } = DATASOURCES.parse(await read('datasources/victoria-metrics.yaml'));
    assert.deepEqual(
      datasources.map(({ name, uid, url }) => ({ name, uid, url })),
      [{ name: DATASOURCE_NAME, uid: DATASOURCE_UID, url: 'http://127.0.0.1:8428' }],
    );
  });

  it('tells Grafana the interval that VictoriaMetrics scrapes the hub at', async () => {
    const { datasources } = DATASOURCES.parse(await read('datasources/victoria-metrics.yaml'));
    const { scrape_configs: jobs } = SCRAPE.parse(await read('victoria-metrics/scrape.yaml'));
    assert.equal(datasources[0]?.jsonData.timeInterval, jobs[0]?.scrape_interval);
  });

  it('scrapes the default address of the hub', async () => {
    const { scrape_configs: jobs } = SCRAPE.parse(await read('victoria-metrics/scrape.yaml'));
    assert.deepEqual(jobs[0]?.static_configs[0]?.targets, [`127.0.0.1:${HTTP_PORT}`]);
  });

  it('lets nobody change the dashboard but its builders', async () => {
    const { providers } = PROVIDERS.parse(await read('dashboards/holdfast.yaml'));
    assert.equal(providers.length, 1);
  });
});
