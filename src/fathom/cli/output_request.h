// How a verb's report is to be given, and giving it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/report/render.h"

namespace fathom {

struct OutputRequest {
  report::Format format = report::Format::kTerminal;
  bool json = false;   // the same as format = json
  std::string output;  // a file; empty: standard output
};

// format, json, output (alias out).
void add_fields(FieldList& list, OutputRequest& output);
// Once the words are read: a format that was not given is that of the output's ending (.html, .htm,
// .json, .md, .svg, .png, also in capitals), else the terminal's. Throws Error(kUsage) where format
// and json contradict each other, for the ending of another kind of picture, and for a PNG without
// a file.
void settle(const FieldList& list, OutputRequest& output);

// Throws Error(kUsage) where `csv` (empty: there is none) and the report would be one file.
void require_own_file(const std::string& csv, const OutputRequest& output);
// The same for several files by the names of their keys, which must not be one another either.
void require_own_files(const std::vector<std::pair<std::string, std::string>>& files,
                       const OutputRequest& output);

// Renders and prints or writes it; a terminal's width and colours are those of standard output. A
// word about a written file goes to standard output: "12,345 bytes" or, if it is given, `what`, "in
// FILE". Throws Error.
void give(const report::Report& given, const OutputRequest& output, const std::string& what = "");

}  // namespace fathom
