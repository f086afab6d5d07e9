#include "fathom/report/svg_legend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

#include "fathom/report/columns.h"

namespace fathom::report {
namespace {

constexpr const char* kDashes[] = {"", " stroke-dasharray=\"7 3\"", " stroke-dasharray=\"2 3\"",
                                   " stroke-dasharray=\"9 3 2 3\""};
constexpr size_t kMostLegends = 40;
constexpr double kRadius = 4;  // of a mark
constexpr const char* kGrey = "#808080";

// A closed way around a place: corners at angles from straight up, clockwise, in twelfths of a
// circle, at distances from it.
std::string corners(double x, double y, const std::vector<std::pair<double, double>>& at,
                    const std::string& look) {
  std::string d;
  for (const auto& [twelfths, distance] : at) {
    const double angle = twelfths * std::acos(-1.0) / 6;
    d += fmt::format("{}{} {}", d.empty() ? "M" : "L", coordinate(x + distance * std::sin(angle)),
                     coordinate(y - distance * std::cos(angle)));
  }
  return fmt::format("<path d=\"{}Z\" {}/>\n", d, look);
}

// Entries beside one another, in the next row where one has no room.
class LegendRows {
 public:
  LegendRows(double left, double top, double right)
      : left_(left), right_(right), x_(left), y_(top + 12) {}

  // A sign so wide, drawn around the place (its left end, the middle of small letters), and a name
  // behind it.
  void add(const std::string& name, double width,
           const std::function<std::string(double, double)>& sign) {
    const double gap = width > 0 ? 6 : 0;
    const double size = width + gap + kLetter * static_cast<double>(columns(name)) + 18;
    if (x_ > left_ && x_ + size > right_) new_row();
    if (width > 0) out_ += sign(x_, y_ - 4);
    out_ += svg_text(x_ + width + gap, y_, kSmallInk, name);
    x_ += size;
  }
  void add(const std::string& name) { add(name, 0, nullptr); }
  void new_row() {
    if (x_ > left_) x_ = left_, y_ += 18;
  }
  bool empty() const { return out_.empty(); }
  double end() const { return y_ + 10; }
  const std::string& elements() const { return out_; }

 private:
  double left_, right_, x_, y_;
  std::string out_;
};

void add_lines(const Plot& plot, LegendRows& rows) {
  const std::vector<Line>& lines = plot.lines;
  if (lines.empty() || (lines.size() == 1 && lines.front().name == plot.title)) return;
  for (size_t i = 0; i < lines.size() && i < kMostLegends; ++i) {
    const std::string name = cut_to_columns(one_line(lines[i].name), 60);
    if (name.empty()) continue;
    rows.add(name, 18, [i](double x, double y) {
      return fmt::format(
          "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{}\" stroke-width=\"3\"{}/>\n",
          coordinate(x), coordinate(y), coordinate(x + 18), coordinate(y), line_colour(i),
          line_dashes(i));
    });
  }
  if (lines.size() > kMostLegends)
    rows.add(fmt::format("and {} more", lines.size() - kMostLegends));
}

// The scale from its first colour to its last, between what they stand for.
void add_shades(const ShadeKey& key, LegendRows& rows) {
  constexpr int kSteps = 16;
  constexpr double kStep = 5;
  rows.add(cut_to_columns(one_line(key.label + " " + key.first), 40));
  rows.add(cut_to_columns(one_line(key.last), 20), kSteps * kStep, [](double x, double y) {
    std::string out;
    for (int i = 0; i < kSteps; ++i)
      out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"12\" fill=\"{}\"/>\n",
                         coordinate(x + i * kStep), coordinate(y - 6), coordinate(kStep + 0.5),
                         css(scale_colour(static_cast<double>(i) / (kSteps - 1))));
    return out;
  });
}

}  // namespace

const char* line_dashes(size_t line) {
  return kDashes[line % std::size(kDashes)];
}

std::string mark_element(size_t shape, double x, double y, const std::string& look) {
  const double r = kRadius;
  switch (shape % kMarkShapes) {
    case 1:
      return corners(x, y, {{1.5, 1.2 * r}, {4.5, 1.2 * r}, {7.5, 1.2 * r}, {10.5, 1.2 * r}}, look);
    case 2:
      return corners(x, y, {{0, 1.35 * r}, {4, 1.35 * r}, {8, 1.35 * r}}, look);
    case 3:
      return corners(x, y, {{0, 1.35 * r}, {3, 1.35 * r}, {6, 1.35 * r}, {9, 1.35 * r}}, look);
    case 4:
      return corners(x, y, {{2, 1.35 * r}, {6, 1.35 * r}, {10, 1.35 * r}}, look);
    case 5: {
      std::vector<std::pair<double, double>> at;
      for (int i = 0; i < 10; ++i) at.emplace_back(1.2 * i, (i % 2 == 0 ? 1.5 : 0.65) * r);
      return corners(x, y, at, look);
    }
    default:
      return fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" {}/>\n", coordinate(x),
                         coordinate(y), coordinate(r), look);
  }
}

std::string mark_element(const MarkedPoint& mark, double x, double y, const char* colour) {
  return mark_element(mark.shape, x, y,
                      fmt::format("fill=\"{}\" stroke=\"{}\"",
                                  mark.shade ? css(scale_colour(*mark.shade)) : colour, colour));
}

std::string end_element(bool first, double x, double y, const char* colour) {
  constexpr double kArm = 6;
  if (first)
    return fmt::format(
        "<circle cx=\"{}\" cy=\"{}\" r=\"7.5\" fill=\"none\" stroke=\"{}\" "
        "stroke-width=\"1.6\"/>\n",
        coordinate(x), coordinate(y), colour);
  return fmt::format(
      "<path d=\"M{0} {2}L{1} {3}M{0} {3}L{1} {2}\" fill=\"none\" stroke=\"{4}\" "
      "stroke-width=\"2.2\"/>\n",
      coordinate(x - kArm), coordinate(x + kArm), coordinate(y - kArm), coordinate(y + kArm),
      colour);
}

Drawing legend(const Plot& plot, double left, double top, double right) {
  LegendRows rows(left, top, right);
  add_lines(plot, rows);
  const MarkKeys keys = mark_keys(plot);
  if (keys.shapes || keys.shades || keys.ends) rows.new_row();
  if (keys.shapes)
    for (size_t i = 0; i < plot.shapes.size(); ++i)
      rows.add(cut_to_columns(one_line(plot.shapes[i]), 40), 12, [i](double x, double y) {
        return mark_element(i, x + 6, y, fmt::format("fill=\"{}\"", kGrey));
      });
  if (keys.shades) add_shades(*plot.shades, rows);
  if (keys.ends)
    for (const bool first : {true, false})
      rows.add(first ? kFirstPoint : kLastPoint, 16,
               [first](double x, double y) { return end_element(first, x + 8, y, kGrey); });
  Drawing out;
  out.elements = rows.elements();
  out.height = rows.empty() ? 0 : rows.end() - top;
  return out;
}

}  // namespace fathom::report
