#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "fathom/report/columns.h"
#include "fathom/report/svg.h"
#include "fathom/report/svg_legend.h"
#include "fathom/report/ticks.h"

namespace fathom::report {
namespace {

constexpr const char* kLineColours[] = {"#1f77c9", "#d9660a", "#11936b", "#c0569b",
                                        "#b58900", "#2aa4c4", "#8b62c9", "#808080"};

// Where the lines are drawn.
struct Frame {
  double left, top, right, bottom;

  double x(double place) const { return left + std::clamp(place, -1.0, 2.0) * (right - left); }
  double y(double place) const { return bottom - std::clamp(place, -1.0, 2.0) * (bottom - top); }
};

std::string stroke(double x0, double y0, double x1, double y1, const char* look) {
  return fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" {}/>\n", coordinate(x0),
                     coordinate(y0), coordinate(x1), coordinate(y1), look);
}

constexpr const char* kGrid = "class=\"grid\" stroke=\"#e2e2e8\"";
constexpr const char* kAxis = "class=\"axis\" stroke=\"#5a5a66\"";

std::string axes(const Plot& plot, const PlotScales& scales, const Frame& f) {
  std::string out;
  for (const Tick& tick : scales.y.ticks(6)) {
    const double y = f.y(tick.place);
    out += stroke(f.left, y, f.right, y, kGrid);
    out += svg_text(f.left - 7, y + 4, std::string(kSmallInk) + " text-anchor=\"end\"", tick.label);
  }
  for (const Tick& tick : scales.x.ticks(8)) {
    const double x = f.x(tick.place);
    out += stroke(x, f.top, x, f.bottom, kGrid);
    out +=
        svg_text(x, f.bottom + 17, std::string(kSmallInk) + " text-anchor=\"middle\"", tick.label);
  }
  out += stroke(f.left, f.bottom, f.right, f.bottom, kAxis);
  out += stroke(f.left, f.top, f.left, f.bottom, kAxis);
  if (!plot.x.label.empty())
    out += svg_text((f.left + f.right) / 2, f.bottom + 36,
                    std::string(kSmallInk) + " text-anchor=\"middle\"",
                    cut_to_columns(one_line(plot.x.label), 90));
  if (!plot.y.label.empty())
    out +=
        svg_text(0, 0,
                 fmt::format("{} text-anchor=\"middle\" transform=\"translate(14 {}) rotate(-90)\"",
                             kSmallInk, coordinate((f.top + f.bottom) / 2)),
                 cut_to_columns(one_line(plot.y.label), 40));
  return out;
}

std::string band(const Line& line, const PlotScales& scales, const Frame& f, const char* colour) {
  const size_t n = std::min({line.x.size(), line.low.size(), line.high.size()});
  std::string out, upper, lower;
  const auto close = [&] {
    if (!upper.empty())
      out += fmt::format("<path d=\"M{}{}Z\" fill=\"{}\" fill-opacity=\"0.2\"/>\n", upper.substr(1),
                         lower, colour);
    upper.clear();
    lower.clear();
  };
  for (size_t i = 0; i < n; ++i) {
    if (!scales.x.shows(line.x[i]) || !scales.y.shows(line.low[i]) ||
        !scales.y.shows(line.high[i])) {
      close();
      continue;
    }
    const std::string x = coordinate(f.x(scales.x.place(line.x[i])));
    upper += "L" + x + " " + coordinate(f.y(scales.y.place(line.high[i])));
    lower.insert(0, "L" + x + " " + coordinate(f.y(scales.y.place(line.low[i]))));
  }
  close();
  return out;
}

// What lies over the lines.
struct Overlay {
  std::string marks, ends;
};

void add_marks(const Line& line, const PlotScales& scales, const Frame& f, const char* colour,
               Overlay& overlay) {
  for (const MarkedPoint& mark : marked_points(line, scales)) {
    const double x = f.x(scales.x.place(line.x[mark.point]));
    const double y = f.y(scales.y.place(line.y[mark.point]));
    if (line.marks.at_points()) overlay.marks += mark_element(mark, x, y, colour);
    if (mark.first) overlay.ends += end_element(true, x, y, colour);
    if (mark.last) overlay.ends += end_element(false, x, y, colour);
  }
}

// Points that no line joins are dots; so are all points of a line that has few and no marks.
std::string path(const Line& line, const PlotScales& scales, const Frame& f, const char* colour,
                 const char* dash) {
  constexpr size_t kFewPoints = 30;
  const size_t n = std::min(line.x.size(), line.y.size());
  std::string d, dots;
  const auto shows = [&](size_t i) {
    return i < n && scales.x.shows(line.x[i]) && scales.y.shows(line.y[i]);
  };
  for (size_t i = 0; i < n; ++i) {
    if (!shows(i)) continue;
    const bool begins = i == 0 || !shows(i - 1);
    const std::string x = coordinate(f.x(scales.x.place(line.x[i])));
    const std::string y = coordinate(f.y(scales.y.place(line.y[i])));
    d += (begins ? "M" : "L") + x + " " + y;
    if (!line.marks.at_points() && ((begins && !shows(i + 1)) || n <= kFewPoints))
      dots += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"2.5\" fill=\"{}\"/>\n", x, y, colour);
  }
  if (d.empty()) return "";
  return fmt::format(
             "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" "
             "stroke-linejoin=\"round\"{}/>\n",
             d, colour, dash) +
         dots;
}

Drawing title(const std::string& text, double left) {
  if (text.empty()) return {};
  return {0, 26,
          svg_text(left, 18, "class=\"ink\" fill=\"#1b1b1f\" font-size=\"15\" font-weight=\"bold\"",
                   cut_to_columns(one_line(text), 90))};
}

}  // namespace

const char* line_colour(size_t line) {
  return kLineColours[line % std::size(kLineColours)];
}

Drawing draw(const Plot& plot, double width) {
  constexpr double kHeight = 300, kMargin = 12;
  const PlotScales scales = scales_of(plot);
  size_t label_width = 0;
  for (const Tick& tick : scales.y.ticks(6))
    label_width = std::max(label_width, columns(tick.label));
  Frame f;
  f.left = (plot.y.label.empty() ? 8 : 26) + kLetter * static_cast<double>(label_width) + 7;
  f.right = width - kMargin;
  const Drawing head = title(plot.title, f.left);
  const Drawing names = legend(plot, f.left, head.height, f.right);
  f.top = head.height + names.height + 8;
  f.bottom = f.top + kHeight;
  Drawing out;
  out.width = width;
  out.height = f.bottom + (plot.x.label.empty() ? 26 : 46);
  out.elements = head.elements + names.elements + axes(plot, scales, f);
  std::string lines;
  Overlay over;
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    const Line line = thinned(plot.lines[i], scales, kPlacesAcross);
    out.elements += band(line, scales, f, line_colour(i));
    lines += path(line, scales, f, line_colour(i), line_dashes(i));
    add_marks(line, scales, f, line_colour(i), over);
  }
  if (lines.empty())
    lines = svg_text((f.left + f.right) / 2, (f.top + f.bottom) / 2,
                     std::string(kSmallInk) + " text-anchor=\"middle\"", "no points");
  out.elements += lines + over.marks + over.ends;
  return out;
}

Drawing draw(const Bars& bars, double width) {
  constexpr double kBar = 18, kStep = 24;
  const size_t n = std::min(bars.names.size(), bars.values.size());
  size_t name_width = 0, value_width = 0;
  double low = 0, high = 0;
  for (size_t i = 0; i < n; ++i) {
    name_width = std::max(name_width, std::min<size_t>(columns(one_line(bars.names[i])), 40));
    value_width = std::max(value_width, shown(bars.values[i], bars.form).size());
    if (!std::isfinite(bars.values[i])) continue;
    low = std::min(low, bars.values[i]);
    high = std::max(high, bars.values[i]);
  }
  const Scale scale(low, high, false);
  Frame f;
  f.left = 16 + kLetter * static_cast<double>(name_width);
  f.right = width - 16 - kLetter * static_cast<double>(value_width);
  const Drawing head = title(bars.title, 8);
  Drawing out{width, head.height + 8 + kStep * static_cast<double>(std::max<size_t>(n, 1)),
              head.elements};
  const bool any = high > low;
  const double zero = any ? f.x(scale.place(0)) : f.left;
  for (size_t i = 0; i < n; ++i) {
    const double y = head.height + 4 + kStep * static_cast<double>(i);
    const bool has_bar = any && std::isfinite(bars.values[i]);
    const double end = has_bar ? f.x(scale.place(bars.values[i])) : zero;
    out.elements += svg_text(f.left - 8, y + 14, std::string(kSmallInk) + " text-anchor=\"end\"",
                             cut_to_columns(one_line(bars.names[i]), 40));
    out.elements += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n",
        coordinate(std::min(zero, end)), coordinate(y), coordinate(std::abs(end - zero)),
        coordinate(kBar), line_colour(bars.values[i] < 0 ? 1 : 0));
    out.elements +=
        svg_text(std::max(zero, end) + 6, y + 14, kSmallInk, shown(bars.values[i], bars.form));
  }
  if (n == 0) out.elements += svg_text(f.left, head.height + 18, kSmallInk, "no bars");
  return out;
}

}  // namespace fathom::report
