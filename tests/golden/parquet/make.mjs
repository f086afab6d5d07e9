// Four rows in two row groups, as `npm install hyparquet-writer && node make.mjs` writes them.
import fs from 'node:fs';
import { parquetWriteBuffer } from 'hyparquet-writer';

const columnData = [
  { name: 'id', data: [1n, 2n, 3n, 4n], type: 'INT64' },
  { name: 'text', data: ['the rain falls', 'on the hill\nand "on"', '日本 and the river', 'it rises'], type: 'STRING' },
  { name: 'title', data: ['Rain', null, 'River', ''], type: 'STRING' },
];
fs.writeFileSync('rain.parquet', Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 2 })));
