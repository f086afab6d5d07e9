// Parts of a report as SVG elements, for pictures and for pages. Classes, with colours for light
// viewers in place: `page` and `grid` (behind), `ink` (text), `axis`; kDarkStyle has those for
// dark.
#pragma once

#include <string>
#include <string_view>

#include "fathom/report/report.h"

namespace fathom::report {

// Text from outside for XML and HTML: nothing in it that means something there, no character that
// XML forbids, and what cannot be seen as its escape.
std::string xml_text(std::string_view text);   // in one line
std::string xml_lines(std::string_view text);  // with its line breaks

inline constexpr const char* kDarkStyle =
    "@media (prefers-color-scheme: dark) { .page { fill: #17171b } .ink { fill: #e8e8ee } "
    ".grid { stroke: #34343d } .axis { stroke: #9a9aa6 } }";

struct Drawing {
  double width = 0, height = 0;
  std::string elements;
};

// At most so many points of a line are drawn, four for each place that can be told apart.
inline constexpr size_t kPlacesAcross = 700;

Drawing draw(const Plot& plot, double width);
Drawing draw(const Bars& bars, double width);
// As wide as it needs to be, `width` at the least.
Drawing draw(const Table& table, double width);
Drawing draw(const Heading& heading, double width);
Drawing draw(const Paragraph& paragraph, double width);
Drawing draw(const ColouredText& text, double width);
// As wide as it needs to be, and placed by Graphviz: throws Error as layout_of() does.
Drawing draw(const Graph& graph, double width);

std::string css(const Colour& colour);  // "#1b2c3d"
// Of the `line`-th line; to be seen on white and on black.
const char* line_colour(size_t line);
// "12.5": fit for an attribute, two digits at most.
std::string coordinate(double value);

// A text element; `attributes` is put into it as it is, `text` is made fit.
std::string svg_text(double x, double y, const std::string& attributes, std::string_view text);

}  // namespace fathom::report
