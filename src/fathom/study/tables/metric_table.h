// What an experiment measures, as tables: its metrics by the forms of their names.
#pragma once

#include <map>
#include <string>

#include "fathom/report/report.h"

namespace fathom {

// NAME beside NAME_baseline, what is reached without knowing anything of the text; a row each.
// Metrics without a baseline are not in it.
report::Table baseline_table(const std::map<std::string, double>& metrics);

// NAME.PART, the metric over a part of what is evaluated: rows are metrics, columns are parts.
// Parts that the same metrics have are one table. Adds nothing where there are none.
void add_parts_of_metrics(const std::map<std::string, double>& metrics, report::Report& report);

}  // namespace fathom
