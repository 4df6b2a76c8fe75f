// A server on one event loop with one planted cause: `server.js PORT CAUSE FOLDER`.
const crypto = require('crypto'), http = require('http');
const [port, cause] = process.argv.slice(2);

function serialise() {
  const end = performance.now() + 30;
  let value = {};
  for (let turn = 0; performance.now() < end; turn++) value = JSON.parse(JSON.stringify({ turn, list: [1, 2, 3] }));
  return value;
}

function answer(response) {
  response.setHeader('content-length', 3);
  response.end('ok\n');
}

http.createServer((request, response) => {
  if (cause === 'loop' && request.url === '/slow') serialise();
  if (cause === 'pool') crypto.pbkdf2('password', 'salt', 20000, 64, 'sha512', () => answer(response));
  else answer(response);
}).listen(+port, '127.0.0.1');
