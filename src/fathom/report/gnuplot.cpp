#include "fathom/report/gnuplot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/io/program.h"
#include "fathom/io/scratch_folder.h"
#include "fathom/report/columns.h"
#include "fathom/report/graph_layout.h"
#include "fathom/report/marks.h"
#include "fathom/report/render.h"
#include "fathom/report/svg.h"
#include "fathom/report/ticks.h"

namespace fathom::report {
namespace {

constexpr int kSeconds = 120;
constexpr int kWidth = 1000, kHeight = 480;
constexpr uint64_t kMostBytes = 256 << 20;

// In double quotes, with everything that could end them or mean something in them by its number: a
// backquote, for one, would run a program.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : one_line(text)) {
    const bool plain = static_cast<unsigned char>(c) >= 0x80 || c == ' ' || std::isalnum(c) != 0 ||
                       std::string_view(".,:;-+/()[]").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("\\{:03o}", static_cast<unsigned char>(c));
  }
  return out + "\"";
}

std::string axis(const char* name, const Axis& axis, const Scale& scale) {
  return fmt::format("set {0}label {1} noenhanced\n{2} logscale {0}\nset {0}range [{3}:{4}]\n",
                     name, quoted(axis.label), axis.log ? "set" : "unset", scale.low(),
                     scale.high());
}

struct Script {
  std::string data, commands;  // data blocks come before the first picture
  size_t blocks = 0;

  // Rows of numbers; what is none is a gap, where a line is not joined.
  std::string block(const std::string& rows) {
    const std::string name = fmt::format("$d{}", blocks++);
    data += fmt::format("{} << EOD\n{}EOD\n", name, rows);
    return name;
  }
};

// By shape, as gnuplot numbers them: filled ones.
constexpr int kPointTypes[kMarkShapes] = {7, 5, 9, 13, 11, 15};
constexpr int kRing = 6, kCross = 2;

std::string colour_of(double shade) {
  return css(scale_colour(shade));
}

// Marks of a line: each shape's as a block of its own, edged in the line's colour by a larger one
// beneath.
std::string marks_of(Script& script, const Line& line, const PlotScales& scales, size_t number) {
  std::string shaped[kMarkShapes], ends[2], out;
  for (const MarkedPoint& mark : marked_points(line, scales)) {
    const std::string at = fmt::format("{} {}", line.x[mark.point], line.y[mark.point]);
    const std::string colour = mark.shade ? colour_of(*mark.shade) : line_colour(number);
    if (line.marks.at_points())
      shaped[mark.shape] += fmt::format("{} {}\n", at, std::stoi(colour.substr(1), nullptr, 16));
    if (mark.first) ends[0] += at + "\n";
    if (mark.last) ends[1] += at + "\n";
  }
  for (size_t shape = 0; shape < kMarkShapes; ++shape) {
    if (shaped[shape].empty()) continue;
    const std::string block = script.block(shaped[shape]);
    out += fmt::format(
        "{0} using 1:2 with points pt {1} ps 1.2 lc rgb '{2}' notitle, {0} using 1:2:3 with points "
        "pt {1} ps 0.8 lc rgb variable notitle, ",
        block, kPointTypes[shape], line_colour(number));
  }
  for (const bool last : {false, true})
    if (!ends[last].empty())
      out += fmt::format("{} using 1:2 with points pt {} ps 2 lw 2 lc rgb '{}' notitle, ",
                         script.block(ends[last]), last ? kCross : kRing, line_colour(number));
  return out;
}

// What marks stand for, as lines of the key that no point has.
std::string mark_titles(const Plot& plot) {
  const MarkKeys keys = mark_keys(plot);
  std::string out;
  const auto add_title = [&](int type, const std::string& colour, const std::string& name) {
    out += fmt::format("NaN with points pt {} ps 1.4 lc rgb '{}' title {} noenhanced, ", type,
                       colour, quoted(cut_to_columns(one_line(name), 60)));
  };
  for (size_t i = 0; keys.shapes && i < plot.shapes.size(); ++i)
    add_title(kPointTypes[i % kMarkShapes], "#808080", plot.shapes[i]);
  if (keys.shades) {
    add_title(5, colour_of(0), plot.shades->label + " " + plot.shades->first);
    add_title(5, colour_of(1), plot.shades->label + " " + plot.shades->last);
  }
  if (keys.ends) {
    add_title(kRing, "#808080", kFirstPoint);
    add_title(kCross, "#808080", kLastPoint);
  }
  return out;
}

void add(Script& script, const Plot& plot) {
  const PlotScales scales = scales_of(plot);
  constexpr size_t kMostInside = 6;  // names that leave the lines in sight
  size_t names = 0;
  std::string bands, lines, marks;
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    const Line line = thinned(plot.lines[i], scales, kPlacesAcross);
    std::string rows;
    size_t there = 0;
    for (size_t k = 0; k < std::min(line.x.size(), line.y.size()); ++k) {
      const bool shown = scales.x.shows(line.x[k]) && scales.y.shows(line.y[k]);
      there += shown;
      const bool has_band = k < line.low.size() && k < line.high.size() &&
                            scales.y.shows(line.low[k]) && scales.y.shows(line.high[k]);
      rows += !shown ? "\n"
              : has_band
                  ? fmt::format("{} {} {} {}\n", line.x[k], line.y[k], line.low[k], line.high[k])
                  : fmt::format("{} {}\n", line.x[k], line.y[k]);
    }
    if (there == 0) continue;
    const std::string block = script.block(rows);
    if (!line.low.empty())
      bands += fmt::format(
          "{} using 1:3:4 with filledcurves fs transparent solid 0.2 lc rgb '{}' notitle, ", block,
          line_colour(i));
    const bool named = !line.name.empty() && (plot.lines.size() > 1 || line.name != plot.title);
    names += named;
    lines += fmt::format(
        "{} using 1:2 with {} lw 2 dt {} lc rgb '{}' {}, ", block,
        there <= 30 && !line.marks.at_points() ? "linespoints pt 7 ps 0.6" : "lines", 1 + i % 4,
        line_colour(i),
        named ? "title " + quoted(cut_to_columns(one_line(line.name), 60)) + " noenhanced"
              : "notitle");
    marks += marks_of(script, line, scales, i);
  }
  std::string all = bands + lines + marks + mark_titles(plot);
  if (all.empty()) all = "NaN notitle, ";
  all.resize(all.size() - 2);
  script.commands += fmt::format(
      "set title {} noenhanced\nset xtics auto\nunset style fill\nset key {} right\n{}{}plot {}\n",
      quoted(plot.title), names > kMostInside ? "outside" : "inside", axis("x", plot.x, scales.x),
      axis("y", plot.y, scales.y), all);
}

void add(Script& script, const Bars& bars) {
  const size_t n = std::min(bars.names.size(), bars.values.size());
  std::string rows, names;
  double low = 0, high = 0;
  for (size_t i = 0; i < n; ++i) {
    names += fmt::format("{}{} {}", names.empty() ? "" : ", ",
                         quoted(cut_to_columns(one_line(bars.names[i]), 24)), i);
    if (!std::isfinite(bars.values[i])) continue;
    rows += fmt::format("{} {}\n", i, bars.values[i]);
    low = std::min(low, bars.values[i]);
    high = std::max(high, bars.values[i]);
  }
  const Scale scale(low, high, false);
  script.commands += fmt::format(
      "set title {} noenhanced\nset style fill solid 0.8\nset boxwidth 0.8\nunset logscale\n"
      "set xlabel ''\nset ylabel ''\nset xrange [-0.6:{}]\nset yrange [{}:{}]\n"
      "set xtics rotate by -30 noenhanced ({})\n",
      quoted(bars.title), static_cast<double>(std::max<size_t>(n, 1)) - 0.4, scale.low(),
      scale.high(), names);
  script.commands += rows.empty()
                         ? "plot NaN notitle\n"
                         : fmt::format("plot {} using 1:2 with boxes lc rgb '{}' notitle\n",
                                       script.block(rows), line_colour(0));
}

// Of a Bezier curve, at t in [0, 1].
Place on_curve(const Place* p, double t) {
  const double u = 1 - t, a = u * u * u, b = 3 * u * u * t, c = 3 * u * t * t, d = t * t * t;
  return {a * p[0].x + b * p[1].x + c * p[2].x + d * p[3].x,
          a * p[0].y + b * p[1].y + c * p[2].y + d * p[3].y};
}

// Boxes, labels and the edges' heads are objects of gnuplot's, which end with the picture.
void add(Script& script, const Graph& graph) {
  constexpr int kPieces = 16;
  const PlacedGraph placed = layout_of(graph);
  const double width = std::max(placed.width, 1.0), height = std::max(placed.height, 1.0);
  const double scale = std::min({1.0, 0.9 * kWidth / width, 0.85 * kHeight / height});
  const int font = std::max(4, static_cast<int>(10 * scale));
  std::string objects, rows;
  const auto label = [&](const Place& at, const std::string& text) {
    objects += fmt::format("set label {} at {},{} center noenhanced font ',{}' front\n",
                           quoted(text), at.x, at.y, font);
  };
  for (size_t i = 0; i < graph.edges.size(); ++i) {
    const std::vector<Place>& points = placed.edges[i].points;
    if (points.size() < 4) continue;
    for (size_t k = 0; k + 3 < points.size(); k += 3)
      for (int piece = 0; piece < kPieces; ++piece) {
        const Place on = on_curve(&points[k], static_cast<double>(piece) / kPieces);
        rows += fmt::format("{} {}\n", on.x, on.y);
      }
    rows += fmt::format("{} {}\n\n", points.back().x, points.back().y);
    const Place from = on_curve(&points[points.size() - 4], 0.7), &to = points.back();
    objects += fmt::format(
        "set arrow from {},{} to {},{} head filled size graph 0.015,20 front lc rgb '#5a5a66'\n",
        from.x, from.y, to.x, to.y);
    if (placed.edges[i].label) label(*placed.edges[i].label, graph.edges[i].label);
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Graph::Node& node = graph.nodes[i];
    const auto& [centre, w, h] = placed.nodes[i];
    const bool shaded = node.shade && std::isfinite(*node.shade);
    objects += fmt::format(
        "set object rectangle center {},{} size {},{} fs solid fc rgb '{}' lw {}\n", centre.x,
        centre.y, w, h, shaded ? css(scale_colour(*node.shade)) : "#ffffff", node.marked ? 3 : 1);
    Place at{centre.x, centre.y - static_cast<double>(node.lines.size()) * kNodeLine / 2};
    label(at, node.name);
    for (const std::string& line : node.lines) at.y += kNodeLine, label(at, line);
  }
  script.commands += fmt::format(
      "set title {} noenhanced\nunset logscale\nunset xtics\nunset ytics\nunset border\nset xlabel "
      "''\nset ylabel ''\nset xrange [0:{}]\nset yrange [{}:0]\nset size ratio {}\n{}plot {}\n"
      "unset object\nunset label\nunset arrow\nset border\nset ytics\nset size noratio\n",
      quoted(graph.title), width, height, height / width, objects,
      rows.empty() ? "NaN notitle"
                   : script.block(rows) + " using 1:2 with lines lc rgb '#5a5a66' notitle");
}

}  // namespace

std::string gnuplot_script(const Report& report, const std::string& output) {
  Script script;
  size_t pictures = 0;
  for (const Part& part : report.parts) {
    if (const auto* plot = std::get_if<Plot>(&part.body)) add(script, *plot), ++pictures;
    if (const auto* bars = std::get_if<Bars>(&part.body)) add(script, *bars), ++pictures;
    if (const auto* graph = std::get_if<Graph>(&part.body)) add(script, *graph), ++pictures;
  }
  if (pictures == 0) return "";
  const std::string size = fmt::format("size {},{}", kWidth, kHeight * pictures);
  return fmt::format(
      "set encoding utf8\nif (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) {{ set terminal pngcairo "
      "{0} "
      "}} else {{ set terminal png {0} }}\nset output {1}\nset grid lc rgb '#e2e2e8'\nset key "
      "noenhanced\n"
      "{2}set multiplot layout {3},1\n{4}unset multiplot\nset output\n",
      size, quoted(output), script.data, pictures, script.commands);
}

void require_gnuplot() {
  if (find_program("gnuplot").empty())
    misuse("a PNG is drawn by gnuplot, which is not installed",
           "apt-get install gnuplot-nox, or take --format=svg, which needs nothing");
}

std::string render_png(const Report& report) {
  require_gnuplot();
  const std::string gnuplot = find_program("gnuplot");
  const ScratchFolder scratch("plot");
  const std::string picture = scratch.file("picture.png"), script = scratch.file("script");
  const std::string commands = gnuplot_script(report, picture);
  if (commands.empty())
    misuse("there is nothing to draw as PNG: no line, no bar and no graph",
           "--format=svg and html show tables and text too");
  write_file_durably(script, as_bytes(commands));
  const ProgramOutcome outcome = run_program(gnuplot, {"--default-settings", script}, kSeconds);
  std::string problem = outcome.problem;
  if (problem.empty() && outcome.signal != 0)
    problem = fmt::format("{} was ended by signal {}", gnuplot, outcome.signal);
  if (problem.empty() && outcome.exit_code != 0)
    problem = fmt::format("{} failed: {}", gnuplot, escaped(trim(outcome.err)));
  if (!problem.empty()) fail(problem, "take --format=svg, which needs no other program");
  return read_text_file(picture, kMostBytes);
}

}  // namespace fathom::report
