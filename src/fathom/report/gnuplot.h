// Pictures by gnuplot.
#pragma once

#include <string>

#include "fathom/report/report.h"

namespace fathom::report {

// What gnuplot is told to draw the report's plots, bars and graphs into the file `output`; empty:
// there are none. Of texts from outside nothing means anything to it.
std::string gnuplot_script(const Report& report, const std::string& output);

}  // namespace fathom::report
