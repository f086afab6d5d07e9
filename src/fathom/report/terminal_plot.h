// Pictures of characters.
#pragma once

#include <string>

#include "fathom/report/render.h"

namespace fathom::report {

std::string terminal_plot(const Plot& plot, const TerminalOptions& options);
std::string terminal_bars(const Bars& bars, const TerminalOptions& options);
// `text` in the colour of the `line`-th line, where there are colours.
std::string in_line_colour(const std::string& text, size_t line, const TerminalOptions& options);

}  // namespace fathom::report
