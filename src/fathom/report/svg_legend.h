// What tells lines and their marks apart in a picture, and the names of it all above.
#pragma once

#include <string>

#include "fathom/report/marks.h"
#include "fathom/report/svg.h"

namespace fathom::report {

inline constexpr double kLetter = 6.6;  // of a sans-serif font of size 12, rather more than less
inline constexpr const char* kSmallInk = "class=\"ink\" fill=\"#1b1b1f\" font-size=\"12\"";

// Lines are told apart without colours too: an attribute, or nothing.
const char* line_dashes(size_t line);
// A mark of a shape around a place; `look`: its colours, as attributes.
std::string mark_element(size_t shape, double x, double y, const std::string& look);
// Of a point: filled by its shade, else in the line's colour, and edged in that.
std::string mark_element(const MarkedPoint& mark, double x, double y, const char* colour);
// What is put over the first and the last point of a line, in the line's colour.
std::string end_element(bool first, double x, double y, const char* colour);

// Names in rows from `top` on; what they take is its height. Of lines where there are several, or
// where the only one is called otherwise than the plot.
Drawing legend(const Plot& plot, double left, double top, double right);

}  // namespace fathom::report
