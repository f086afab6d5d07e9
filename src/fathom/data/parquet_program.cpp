#include "fathom/data/parquet_program.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

constexpr const char* kHint =
    "apt install nodejs npm, then `npm install hyparquet hyparquet-compressors` in this folder";

// Its words: the file, the columns as JSON. What it cannot do it says in one line.
constexpr const char* kScript = R"js(
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { once } from 'node:events';

const [file, columnsText] = process.argv.slice(1);
const fail = (message, code = 1) => { process.stderr.write(message + '\n'); process.exit(code); };

function folders() {
  const found = [];
  if (process.env.FATHOM_NODE_MODULES) found.push(process.env.FATHOM_NODE_MODULES);
  for (let at = process.cwd(); ; at = path.dirname(at)) {
    found.push(path.join(at, 'node_modules'));
    if (at === path.dirname(at)) break;
  }
  found.push(...(process.env.NODE_PATH ?? '').split(':').filter(Boolean));
  found.push(path.resolve(process.execPath, '../../lib/node_modules'), '/usr/local/lib/node_modules',
             '/usr/lib/node_modules', '/usr/share/nodejs');
  return found;
}
async function load(name) {
  for (const folder of folders()) {
    const description = path.join(folder, name, 'package.json');
    if (!fs.existsSync(description)) continue;
    const { exports, main } = JSON.parse(fs.readFileSync(description, 'utf8'));
    const root = exports?.['.'] ?? exports ?? main ?? 'src/index.js';
    let entry = root;
    while (typeof entry === 'object') entry = entry.node ?? entry.import ?? entry.default;
    return import(pathToFileURL(path.join(folder, name, entry)));
  }
}

const hyparquet = await load('hyparquet');
if (!hyparquet) fail('the npm package hyparquet is not installed: `npm install hyparquet hyparquet-compressors`', 127);
const { compressors } = (await load('hyparquet-compressors')) ?? {};
const handle = fs.openSync(file, 'r');
const buffer = {
  byteLength: fs.fstatSync(handle).size,
  slice(start, end) {
    const bytes = Buffer.alloc((end ?? this.byteLength) - start);
    fs.readSync(handle, bytes, 0, bytes.length, start);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  },
};
try {
  const metadata = await hyparquet.parquetMetadataAsync(buffer);
  const names = new Set(hyparquet.parquetSchema(metadata).children.map(child => child.element.name));
  const columns = JSON.parse(columnsText).filter(name => names.has(name));
  if (columns.length === 0) fail('it has no column ' + JSON.parse(columnsText)[0] + ', only ' + [...names].join(', '));
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const rows = await hyparquet.parquetReadObjects({ file: buffer, metadata, columns, compressors, rowStart, rowEnd });
    for (const row of rows) {
      const line = JSON.stringify(row, (key, value) => typeof value === 'bigint' ? String(value) : value);
      if (!process.stdout.write(line + '\n')) await once(process.stdout, 'drain');
    }
    rowStart = rowEnd;
  }
} catch (error) {
  fail(String(error.message).split('\n')[0]);
}
)js";

}  // namespace

Program parquet_program(const std::string& path, const Columns& columns) {
  const std::string whole = std::filesystem::absolute(path).string();
  return {{"node", "--input-type=module", "-e", kScript, "--", whole,
           json_text(nlohmann::json(columns))},
          kHint};
}

}  // namespace fathom
