'use strict';

/** How long the farm may take to answer a question, in milliseconds: without an answer, expo run builds here. */
const ANSWER_TIMEOUT = 10_000;

/** request sends a request and throws a sentence for people unless it succeeds. */
async function request(farm, path, init, rights) {
  let response;
  try {
    response = await fetch(farm.url + path, { ...init, headers: { ...init.headers, ...rights } });
  } catch (error) {
    const cause = error.name === 'TimeoutError' ? `no answer within ${ANSWER_TIMEOUT / 1000} s` : (error.cause?.message ?? error.message);
    throw new Error(`${farm.url} cannot be reached (${cause})`);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 404 && path === '/api/v2/reuses') throw new Error('the farm is older than this package and knows no reuse');
  throw new Error(`${farm.url} refused: ${(problem.detail ?? response.statusText).replace(/\.$/, '')}`);
}

/** reuse asks for a completed build; the answer has reused, and then build and access_token, else reason. */
async function reuse(farm, question) {
  const response = await request(
    farm,
    '/api/v2/reuses',
    {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(question),
      signal: AbortSignal.timeout(ANSWER_TIMEOUT),
    },
    { 'X-API-Key': farm.key },
  );
  return response.json();
}

/** result returns the response with the bytes of a build's result. The signal ends the transfer. */
function result(farm, answer, signal) {
  return request(farm, `/api/v2/builds/${encodeURIComponent(answer.build.id)}/result`, { signal }, { 'X-Build-Token': answer.access_token });
}

module.exports = { reuse, result };
