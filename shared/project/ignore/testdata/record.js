// Records what the npm package "ignore" says of random rules, for TestNPMIsThePackages:
//   npm install ignore@5.3.0 && node record.js 400 1 > npm.json
const create = require('ignore')
const [rounds, seed] = process.argv.slice(2).map(Number)
let state = seed
const random = n => ((state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 8) % n
const names = ['a', 'b', 'ab', 'A', 'a.txt', 'B.TXT', 'b.log', 'x y', 'x ', '-', ']', '!a', '#a', 'a\\b', '*', '[a]', '[]', 'ä', 'Ä', '1', '$', 'q(1)', 'a+b', 'd{', 'a^', '|', 'c/a', 'c/b.log',
  'c/c/a', 'c/c/c/a.txt', 'c/A/b', 'build/out', 'src/build/out', 'foo/bar', 'foo/x/bar', 'foobar', 'foox/bar', '.x/y', 'lib/k', 'new\nline', 'a\n']
const pieces = ['a', 'b', 'c', 'A', '.log', '.txt', 'build', 'foo', 'bar', 'x', ' ', '\\ ', '*', '*', '*', '**', '**/', '/**', '/', '/', '?', '[a-c]', '[!a]', '[^b]', '[c-a]', '[', ']', '[]', '-', '\\', '\\\\',
  '\\*', '\\[', '\\]', 'ä', '.', 'c/', '!', '(', ')', '+', '$', '^', '{', '}', '|', '\t', '\u00a0', '\ufeff', '[\\d]', '\\d', '\\w', '\\q', '#']
const rule = () => {
  let s = (random(4) ? '' : '!') + (random(3) ? '' : '/')
  for (let i = 0, n = 1 + random(4); i < n; i++) s += pieces[random(pieces.length)]
  return s + (random(4) ? '' : '/')
}
const cases = []
while (cases.length < rounds) {
  let rules = ''
  for (let i = 0, n = 1 + random(4); i < n; i++) rules += rule() + (random(9) ? '\n' : '\r\n')
  try {
    const ignore = create().add(rules)
    cases.push({rules, ignored: names.filter(name => ignore.ignores(name))})
  } catch (e) {
    cases.push({rules, error: true})
  }
}
console.log('{"names": ' + JSON.stringify(names) + ',\n"cases": [\n' + cases.map(c => JSON.stringify(c)).join(',\n') + '\n]}')
