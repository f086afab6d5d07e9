// What an experiment measures, as tables: its metrics by the forms of their names.
#pragma once

#include <map>
#include <set>
#include <string>

#include "fathom/report/report.h"

namespace fathom {

// Metrics that are of all that is evaluated, a row each: NAME, and beside it NAME_baseline, what is
// reached without knowing anything of the text, where there is such a one. Not in it are parts,
// members of lists, and names in `told`, which are said elsewhere.
report::Table measured_table(const std::map<std::string, double>& metrics,
                             const std::set<std::string>& told);

// NAME.PART, the metric over a part of what is evaluated: rows are metrics, columns are parts.
// Parts that the same metrics have are one table. Adds nothing where there are none.
void add_parts_of_metrics(const std::map<std::string, double>& metrics, report::Report& report);

}  // namespace fathom
