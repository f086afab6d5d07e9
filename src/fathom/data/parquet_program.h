// Parquet files as JSON lines: a Node program over the npm package hyparquet, a row group at a
// time.
#pragma once

#include <string>
#include <vector>

#include "fathom/io/byte_stream.h"

namespace fathom {

using Columns = std::vector<std::string>;

// Prints an object of these columns for each row of the file at `path`; columns that the file does
// not have are left out. hyparquet (and hyparquet-compressors, for what is not Snappy) is looked
// for in $FATHOM_NODE_MODULES, in node_modules/ here and above, in $NODE_PATH and where `npm
// install -g` puts packages.
Program parquet_program(const std::string& path, const Columns& columns);

}  // namespace fathom
