// Texts of code points assigned in Unicode 14 and the ids that the npm package tiktoken gives them,
// a JSON object a line, for tests/data/bpe_test.cpp.
//
//   npm install tiktoken && node tiktoken_cases.mjs 10000 >cases.jsonl
import { get_encoding } from 'tiktoken';

const count = Number(process.argv[2] ?? 10000);
let state = 12345;
const random = n => {  // a small generator of our own: the same texts every time
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return Math.floor((state / 4294967296) * n);
};

// Node's Unicode may be newer than 14: its additions are left out by \p{Age}, which JavaScript lacks,
// so by range. These blocks were complete, or as they are now, in version 14.
const ranges = [
  [0x20, 0x7e], [0x20, 0x7e], [0x20, 0x7e], [0x0a, 0x0a], [0x20, 0x20], [0xa0, 0x17f], [0x391, 0x3c9],
  [0x410, 0x44f], [0x5d0, 0x5ea], [0x621, 0x64a], [0x660, 0x669], [0x905, 0x939], [0xe01, 0xe3a],
  [0x1100, 0x11ff], [0x2000, 0x200a], [0x2010, 0x2027], [0x2070, 0x2071], [0x2150, 0x218b],
  [0x2200, 0x22ff], [0x3000, 0x303f], [0x3041, 0x3096], [0x30a1, 0x30fa], [0x4e00, 0x9ffc],
  [0xac00, 0xd7a3], [0x1d400, 0x1d454], [0x1f300, 0x1f5ff], [0x1f600, 0x1f64f], [0x20000, 0x2a6dd],
];
const common = [' ', ' ', '  ', '\n', '\n\n', '\t', "'s", "'ll", ' the', 'ing', '123', '\u180e', '\ufeff'];

const encoding = get_encoding('gpt2');
for (let i = 0; i < count; ++i) {
  let text = '';
  for (let n = random(40); n > 0; --n) {
    if (random(3) === 0) {
      text += common[random(common.length)];
    } else {
      const [first, last] = ranges[random(ranges.length)];
      text += String.fromCodePoint(first + random(last - first + 1));
    }
  }
  console.log(JSON.stringify({ text, ids: [...encoding.encode_ordinary(text)] }));
}
