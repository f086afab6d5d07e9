// Stands in for the npm package hyparquet in tests. A file is "PAR1", the JSON text
// {"columns": [...], "groups": [[row, ...], ...]} and "PAR1"; a row is a list of its columns.

export async function parquetMetadataAsync(file) {
  const bytes = await file.slice(4, file.byteLength - 4);
  const { columns, groups } = JSON.parse(new TextDecoder().decode(bytes));
  return { columns, groups, row_groups: groups.map(rows => ({ num_rows: BigInt(rows.length) })) };
}

export function parquetSchema({ columns }) {
  return { children: columns.map(name => ({ element: { name } })) };
}

// Whole numbers are BigInt, as in columns of INT64.
export async function parquetReadObjects({ metadata, columns, rowStart, rowEnd }) {
  const value = cell => (Number.isInteger(cell) ? BigInt(cell) : cell);
  const object = row =>
    Object.fromEntries(columns.map(name => [name, value(row[metadata.columns.indexOf(name)])]));
  return metadata.groups.flat().slice(rowStart, rowEnd).map(object);
}
