/**
 * Units of the metrics whose names are always the same. Those of disks and interfaces have them in
 * their names.
 */
export const UNITS: Readonly<Record<string, string>> = {
  cpu_temperature: '°C',
  cpu_frequency: 'MHz',
  cpu_use: '%',
  cpu_wait: '%',
  cpu_pressure: '%',
  uptime: 's',
  memory_total: 'B',
  memory_available: 'B',
  memory_use: '%',
  memory_pressure: '%',
  swap_total: 'B',
  swap_used: 'B',
  io_pressure: '%',
  modem_signal: '%',
  modem_rssi: 'dBm',
  modem_rsrp: 'dBm',
  modem_rsrq: 'dB',
  modem_snr: 'dB',
};
