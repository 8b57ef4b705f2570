import type { BridgeStatus, LaneStatus, Status } from '../../../hub/core/status.ts';
import { formatBytes, formatCount, formatDuration, formatRate } from '../format.ts';
import { bridgeView, sinkView, type Tone } from '../sink-view.ts';
import { hubMs } from '../store.ts';
import { ToneIcon } from './icons.tsx';
import { OutageWindowSwitch } from './outages.tsx';
import { Pill } from './pill.tsx';
import { SinkCard } from './sink-card.tsx';

interface PipesProps {
  readonly tones: readonly Tone[];
  readonly side: 'in' | 'out';
}

/** Curves between rows of equal height and the middle of the log, in percent of the gap. */
function Pipes({ tones, side }: PipesProps) {
  return (
    <div class={`pipes ${side}`} aria-hidden="true">
      <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
        {tones.map((tone, row) => {
          const y = ((row + 0.5) / tones.length) * 100;
          const near = 50 + (y - 50) * 0.3; // fans out of the log instead of one point
          const [from, to] = side === 'in' ? [y, near] : [near, y];
          const path = `M0 ${from} C55 ${from} 45 ${to} 100 ${to}`;
          return (
            <g key={row} class={`pipe ${tone}`}>
              <path class="pipe-wall" d={path} />
              <path class="pipe-flow" d={path} />
            </g>
          );
        })}
      </svg>
    </div>
  );
}

function MqttCard({ inputs }: { inputs: Status['inputs'] }) {
  const { mqttClients, mqttListeners } = inputs;
  return (
    <li class="node">
      <div class="node-head">
        <ToneIcon tone={mqttListeners.length > 0 ? 'good' : 'idle'} />
        <strong>MQTT</strong>
        <span class="node-kind">
          {formatCount(mqttClients)} {mqttClients === 1 ? 'client' : 'clients'}
        </span>
      </div>
      <p class="node-note">{mqttListeners.join(', ') || 'No listener'}</p>
    </li>
  );
}

function BridgeCard({ bridge }: { bridge: BridgeStatus }) {
  const { tone, headline } = bridgeView(bridge);
  return (
    <li class={`node ${tone}`}>
      <div class="node-head">
        <ToneIcon tone={tone} />
        <strong>{bridge.id}</strong>
        <span class="node-kind">{bridge.type}</span>
      </div>
      <p class="node-note">
        <span class="state-word">{bridge.state}</span> {headline === 'Reading' ? '' : headline}
      </p>
    </li>
  );
}

function LaneRow({ lane, head, tail, bytes }: LaneStatus) {
  return (
    <tr>
      <th scope="row">{lane}</th>
      <td>{formatCount(tail - head)}</td>
      <td>{formatBytes(bytes)}</td>
    </tr>
  );
}

function LogCard({ status: { inputs, log, disk } }: { status: Status }) {
  const share = log.bytesMax > 0 ? Math.min(1, log.bytes / log.bytesMax) : 0;
  return (
    <div class={`tank ${log.full ? 'bad' : ''}`}>
      <svg class="tank-level" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
        <path
          d={`M0 ${98 - share * 96}Q25 ${96 - share * 96} 50 ${98 - share * 96}T100 ${98 - share * 96}V100H0Z`}
        />
      </svg>
      <div class="tank-text">
        <div class="node-head">
          <strong>Event log</strong>
          <Pill tone={log.full ? 'bad' : 'good'}>
            {log.full
              ? 'Full'
              : log.durability === 'fsync'
                ? 'fsync'
                : `every ${formatDuration(log.lossWindowMs)}`}
          </Pill>
        </div>
        <p class="tank-value">
          {formatCount(log.events)} <span>events</span>
        </p>
        <p class="node-note">
          {formatRate(inputs.eventsPerSecond)}/s in · {formatBytes(log.bytes)} of{' '}
          {formatBytes(log.bytesMax)}
        </p>
        <table class="lanes">
          <thead>
            <tr>
              <th scope="col">Lane</th>
              <th scope="col">Events</th>
              <th scope="col">Size</th>
            </tr>
          </thead>
          <tbody>
            {log.lanes.map((lane) => (
              <LaneRow key={lane.lane} {...lane} />
            ))}
          </tbody>
        </table>
        <p class="node-note">
          {formatBytes(disk.freeBytes)} free on disk · {formatBytes(log.writtenBytes)} written
        </p>
      </div>
    </div>
  );
}

/** Inputs, log and sinks as one picture: where it flows, and where it stands still. */
export function Flow({ status }: { status: Status }) {
  const { bridges } = status.inputs;
  const { sinks } = status;
  const nowMs = hubMs.value;
  const moving: Tone = status.inputs.eventsPerSecond > 0 ? 'good' : 'idle';
  return (
    <section class="panel flow" aria-label="Flow">
      <div class="flow-column">
        <h2>In</h2>
        <ul class="flow-rows inputs">
          <MqttCard inputs={status.inputs} />
          {bridges.map((bridge) => (
            <BridgeCard key={bridge.id} bridge={bridge} />
          ))}
        </ul>
      </div>
      <Pipes
        side="in"
        tones={[
          status.inputs.mqttClients > 0 ? moving : 'idle',
          ...bridges.map((bridge) => bridgeView(bridge).tone),
        ]}
      />
      <div class="flow-column">
        <h2>Log</h2>
        <LogCard status={status} />
      </div>
      <Pipes side="out" tones={sinks.map((sink) => sinkView(sink, nowMs).tone)} />
      <div class="flow-column">
        <div class="flow-heading">
          <h2>Sinks</h2>
          {sinks.length > 0 && <OutageWindowSwitch />}
        </div>
        <ul class="flow-rows">
          {sinks.map((sink) => (
            <SinkCard key={sink.id} sink={sink} nowMs={nowMs} />
          ))}
          {sinks.length === 0 && (
            <li class="node">
              <p class="node-note">
                No sink is configured: events stay in the log for as long as it keeps them.
              </p>
            </li>
          )}
        </ul>
      </div>
    </section>
  );
}
