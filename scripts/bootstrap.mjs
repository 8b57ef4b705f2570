// Entry of every npm script. It is JavaScript because it runs before anything is installed or
// built, and its syntax is old so that an old Node.js can say that it is too old.
const NODE_MIN = [20, 19];

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
  console.error(
    `Holdfast needs Node.js ${NODE_MIN.join('.')} or newer; ${process.execPath} is ` +
      `${process.versions.node}. Install a newer one, for example from https://nodejs.org.`,
  );
  process.exit(69);
}

const { main } = await import('./bootstrap/commands.mjs');
process.exitCode = await main(process.argv.slice(2));
