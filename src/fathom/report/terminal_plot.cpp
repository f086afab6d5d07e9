#include "fathom/report/terminal_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "fathom/base/utf8.h"
#include "fathom/report/columns.h"
#include "fathom/report/marks.h"
#include "fathom/report/ticks.h"

namespace fathom::report {
namespace {

constexpr int kLineTerminalColours[] = {33, 208, 35, 175, 178, 45, 97, 245};
constexpr const char* kSigns = "*+ox#@%=abcdefghijklmnpqrstuvwyz";
constexpr const char* kBand = "░";
// By shape: of the first point, and of others; and of the last one, whatever its shape is.
constexpr const char* kHollow[kMarkShapes] = {"○", "□", "△", "◇", "▽", "☆"};
constexpr const char* kFilled[kMarkShapes] = {"●", "■", "▲", "◆", "▼", "★"};
constexpr const char* kLast = "×";

char sign_of_line(size_t line) {
  return kSigns[line % std::char_traits<char>::length(kSigns)];
}

// A shade is a colour behind the mark, or, where there are none and one shape, a digit in its
// place.
std::string mark_text(const MarkedPoint& mark, size_t line, bool digits,
                      const TerminalOptions& options) {
  const char* glyph = mark.last ? kLast : mark.first ? kHollow[mark.shape] : kFilled[mark.shape];
  if (options.colour && mark.shade)
    return fmt::format("\033[30;48;5;{}m{}\033[0m", scale_terminal_colour(*mark.shade), glyph);
  if (digits && mark.shade && !mark.first && !mark.last)
    return std::string(1, shade_digit(*mark.shade));
  return in_line_colour(glyph, line, options);
}

// A field of cells, each of `wide` times `high` dots: 2 by 4 in braille, 1 by 1 for signs.
class Canvas {
 public:
  Canvas(int width, int height, bool braille)
      : width_(width),
        height_(height),
        wide_(braille ? 2 : 1),
        high_(braille ? 4 : 1),
        cells_(static_cast<size_t>(width * height)) {}

  int dots_across() const { return width_ * wide_; }
  int dots_down() const { return height_ * high_; }

  void dot(int x, int y, size_t line) {
    if (x < 0 || y < 0 || x >= dots_across() || y >= dots_down()) return;
    // Of the eight dots of a braille pattern, by column and row from the top.
    static constexpr uint8_t kBits[2][4] = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};
    Cell& cell = at(x / wide_, y / high_);
    if (cell.line != line) cell.dots = 0;  // a cell has one colour: that of the last line
    cell.line = line;
    cell.dots |= kBits[x % wide_][y % high_];
  }
  void segment(int x0, int y0, int x1, int y1, size_t line) {
    const int steps = std::max(std::abs(x1 - x0), std::abs(y1 - y0));
    for (int i = 0; i <= steps; ++i) {
      const double t = steps == 0 ? 0 : static_cast<double>(i) / steps;
      dot(x0 + static_cast<int>(std::lround(t * (x1 - x0))),
          y0 + static_cast<int>(std::lround(t * (y1 - y0))), line);
    }
  }
  // A whole cell, over all lines.
  void mark(int x, int y, const std::string& text) {
    if (x >= 0 && y >= 0 && x < dots_across() && y < dots_down())
      at(x / wide_, y / high_).mark = text;
  }
  // Whole cells, beneath all lines.
  void band(int x, int top, int bottom, size_t line) {
    for (int y = top / high_; y <= bottom / high_; ++y) at(x / wide_, y).band = line;
  }

  std::string row(int y, const TerminalOptions& options) const {
    std::string out;
    size_t end = 0;
    for (int x = 0; x < width_; ++x) {
      const Cell& cell = cells_[static_cast<size_t>(y * width_ + x)];
      if (!cell.mark.empty()) {
        out += cell.mark;
        end = out.size();
        continue;
      }
      std::string shown = " ";
      if (cell.dots != 0 && wide_ > 1) {
        shown.clear();
        utf8_append(shown, 0x2800U + cell.dots);
      } else if (cell.dots != 0) {
        shown = sign_of_line(cell.line);
      } else if (cell.band != kNone) {
        shown = kBand;
      }
      const size_t line = cell.dots != 0 ? cell.line : cell.band;
      out += line == kNone ? shown : in_line_colour(shown, line, options);
      if (line != kNone) end = out.size();
    }
    return out.substr(0, end);
  }

 private:
  static constexpr size_t kNone = SIZE_MAX;
  struct Cell {
    uint8_t dots = 0;
    size_t line = kNone, band = kNone;
    std::string mark;  // in its colours
  };
  Cell& at(int x, int y) { return cells_[static_cast<size_t>(y * width_ + x)]; }

  int width_, height_, wide_, high_;
  std::vector<Cell> cells_;
};

int dot_of(double place, int dots) {
  return static_cast<int>(std::lround(std::clamp(place, -1.0, 2.0) * (dots - 1)));
}

void draw_band(Canvas& canvas, const Line& line, const PlotScales& scales, size_t number) {
  const size_t n = std::min({line.x.size(), line.low.size(), line.high.size()});
  struct Edge {
    int x, top, bottom;
  };
  bool goes_on = false;  // from the edge before
  Edge before = {0, 0, 0};
  for (size_t i = 0; i < n; ++i) {
    if (!scales.x.shows(line.x[i]) || !scales.y.shows(line.low[i]) ||
        !scales.y.shows(line.high[i])) {
      goes_on = false;
      continue;
    }
    const int down = canvas.dots_down();
    const auto row = [&](double y) {
      return std::clamp(down - 1 - dot_of(scales.y.place(y), down), 0, down - 1);
    };
    const Edge now = {std::clamp(dot_of(scales.x.place(line.x[i]), canvas.dots_across()), 0,
                                 canvas.dots_across() - 1),
                      row(line.high[i]), row(line.low[i])};
    if (!goes_on) before = now;
    goes_on = true;
    const int step = now.x < before.x ? -1 : 1;
    for (int x = before.x;; x += step) {
      const double t = now.x == before.x ? 1
                                         : static_cast<double>(x - before.x) /
                                               static_cast<double>(now.x - before.x);
      const auto between = [t](int a, int b) {
        return a + static_cast<int>(std::lround(t * (b - a)));
      };
      canvas.band(x, between(before.top, now.top), between(before.bottom, now.bottom), number);
      if (x == now.x) break;
    }
    before = now;
  }
}

void draw_line(Canvas& canvas, const Line& line, const PlotScales& scales, size_t number) {
  const int across = canvas.dots_across(), down = canvas.dots_down();
  bool goes_on = false;  // from the point before
  int x0 = 0, y0 = 0;
  for (size_t i = 0; i < std::min(line.x.size(), line.y.size()); ++i) {
    if (!scales.x.shows(line.x[i]) || !scales.y.shows(line.y[i])) {
      goes_on = false;
      continue;
    }
    const int x = dot_of(scales.x.place(line.x[i]), across);
    const int y = down - 1 - dot_of(scales.y.place(line.y[i]), down);
    if (goes_on)
      canvas.segment(x0, y0, x, y, number);
    else
      canvas.dot(x, y, number);
    goes_on = true;
    x0 = x;
    y0 = y;
  }
}

bool has_shade_digits(const Plot& plot, const TerminalOptions& options) {
  return !options.colour && !mark_keys(plot).shapes;
}

// Those at ends go over all others.
void draw_marks(Canvas& canvas, const Plot& plot, const PlotScales& scales,
                const TerminalOptions& options) {
  const int across = canvas.dots_across(), down = canvas.dots_down();
  const bool digits = has_shade_digits(plot, options);
  for (const bool ends : {false, true})
    for (size_t i = 0; i < plot.lines.size(); ++i)
      for (const MarkedPoint& mark : marked_points(plot.lines[i], scales))
        if ((mark.first || mark.last) == ends)
          canvas.mark(dot_of(scales.x.place(plot.lines[i].x[mark.point]), across),
                      down - 1 - dot_of(scales.y.place(plot.lines[i].y[mark.point]), down),
                      mark_text(mark, i, digits, options));
}

std::string dimmed(const std::string& text, const TerminalOptions& options) {
  return options.colour && !text.empty() ? "\033[2m" + text + "\033[0m" : text;
}

// The axis below the canvas and its numbers, `left` columns in.
std::string axis_lines(const Scale& scale, int width, size_t left, const std::string& label,
                       const TerminalOptions& options) {
  std::string numbers;
  std::vector<bool> ticked(static_cast<size_t>(width), false);
  size_t taken = 0;  // columns of `numbers` that are in use
  for (const Tick& tick : scale.ticks(std::clamp(width / 12, 2, 10))) {
    const int at = dot_of(tick.place, width);
    const size_t centre = left + static_cast<size_t>(at);
    size_t begin = centre - std::min(tick.label.size() / 2, centre);
    const size_t most = left + static_cast<size_t>(width);
    begin = std::min(begin, most - std::min(tick.label.size(), most));
    if (begin < taken) continue;
    ticked[static_cast<size_t>(at)] = true;
    numbers += std::string(begin - numbers.size(), ' ') + tick.label;
    taken = numbers.size() + 1;
  }
  std::string line = std::string(left - 1, ' ') + "└";
  for (int x = 0; x < width; ++x) line += ticked[static_cast<size_t>(x)] ? "┴" : "─";
  std::string out = dimmed(line, options) + "\n" + numbers + "\n";
  const std::string name = cut_to_columns(one_line(label), left + static_cast<size_t>(width));
  if (!name.empty())
    out +=
        padded(name, left + (static_cast<size_t>(width) + columns(name)) / 2, Align::kRight) + "\n";
  return out;
}

// Signs and what they stand for, beside one another as far as they fit.
class LegendLines {
 public:
  explicit LegendLines(const TerminalOptions& options) : options_(options) {}

  // `sign` as it is, `width` columns of it.
  void add(const std::string& sign, size_t width, const std::string& name) {
    const size_t size = width + (width > 0 && !name.empty() ? 1 : 0) + columns(name);
    if (taken_ > 0 && taken_ + 3 + size > static_cast<size_t>(options_.width)) new_line();
    out_ += (taken_ > 0 ? "   " : "  ") + sign + (width > 0 && !name.empty() ? " " : "") + name;
    taken_ += (taken_ > 0 ? 3 : 2) + size;
  }
  void new_line() {
    if (taken_ > 0) out_ += "\n";
    taken_ = 0;
  }
  std::string lines() {
    new_line();
    return out_;
  }
  // Room for a name.
  size_t room() const { return static_cast<size_t>(options_.width) - 6; }

 private:
  TerminalOptions options_;
  std::string out_;
  size_t taken_ = 0;
};

void add_shade_key(const ShadeKey& key, const TerminalOptions& options, LegendLines& lines) {
  constexpr int kSteps = 10;
  std::string scale;
  for (int i = 0; i < kSteps; ++i) {
    const double place = static_cast<double>(i) / (kSteps - 1);
    scale += options.colour ? fmt::format("\033[48;5;{}m \033[0m", scale_terminal_colour(place))
                            : std::string(1, static_cast<char>('0' + i));
  }
  const std::string from = cut_to_columns(one_line(key.label + " " + key.first), lines.room() / 2);
  lines.add(from + " " + scale, columns(from) + 1 + kSteps,
            cut_to_columns(one_line(key.last), lines.room() / 4));
}

std::string legend_lines(const Plot& plot, bool braille, const TerminalOptions& options) {
  LegendLines lines(options);
  const bool named =
      plot.lines.size() > 1 || (plot.lines.size() == 1 && plot.lines[0].name != plot.title);
  for (size_t i = 0; named && i < plot.lines.size(); ++i) {
    const std::string name = cut_to_columns(one_line(plot.lines[i].name), lines.room());
    if (name.empty()) continue;
    const std::string sign = braille ? "⠤⠤" : std::string(1, sign_of_line(i));
    lines.add(in_line_colour(sign, i, options), columns(sign), name);
  }
  const MarkKeys keys = mark_keys(plot);
  lines.new_line();
  for (size_t i = 0; keys.shapes && i < plot.shapes.size(); ++i)
    lines.add(kFilled[i % kMarkShapes], 1, cut_to_columns(one_line(plot.shapes[i]), lines.room()));
  if (keys.shades && (options.colour || has_shade_digits(plot, options)))
    add_shade_key(*plot.shades, options, lines);
  if (keys.ends) {
    lines.add(kHollow[0], 1, kFirstPoint);
    lines.add(kLast, 1, kLastPoint);
  }
  return lines.lines();
}

bool has_points(const Plot& plot, const PlotScales& scales) {
  for (const Line& line : plot.lines)
    for (size_t i = 0; i < std::min(line.x.size(), line.y.size()); ++i)
      if (scales.x.shows(line.x[i]) && scales.y.shows(line.y[i])) return true;
  return false;
}

std::string title_line(const std::string& title, const TerminalOptions& options) {
  const std::string text = cut_to_columns(one_line(title), static_cast<size_t>(options.width));
  if (text.empty()) return "";
  return (options.colour ? "\033[1m" + text + "\033[0m" : text) + "\n";
}

}  // namespace

std::string in_line_colour(const std::string& text, size_t line, const TerminalOptions& options) {
  if (!options.colour) return text;
  return fmt::format("\033[38;5;{}m{}\033[0m",
                     kLineTerminalColours[line % std::size(kLineTerminalColours)], text);
}

std::string terminal_plot(const Plot& plot, const TerminalOptions& options) {
  const PlotScales scales = scales_of(plot);
  // One dot tells nothing of whose it is, so several lines need colours or signs.
  const bool braille = options.colour || plot.lines.size() <= 1;
  const int height = std::clamp(options.width / 5, 8, 24);
  const std::vector<Tick> ticks = scales.y.ticks(std::max(2, height / 2));
  size_t label_width = 1;
  for (const Tick& tick : ticks) label_width = std::max(label_width, columns(tick.label));
  const size_t left = label_width + 2;  // the axis included
  const int width = std::max(8, options.width - static_cast<int>(left) - 1);
  Canvas canvas(width, height, braille);
  for (size_t i = 0; i < plot.lines.size(); ++i) draw_band(canvas, plot.lines[i], scales, i);
  for (size_t i = 0; i < plot.lines.size(); ++i) draw_line(canvas, plot.lines[i], scales, i);
  draw_marks(canvas, plot, scales, options);

  std::vector<std::string> labels(static_cast<size_t>(height));
  for (const Tick& tick : ticks)
    labels[static_cast<size_t>(
        std::clamp(height - 1 - dot_of(tick.place, height), 0, height - 1))] = tick.label;
  std::string out = title_line(plot.title, options);
  out += legend_lines(plot, braille, options);
  const std::string y_label =
      cut_to_columns(one_line(plot.y.label), static_cast<size_t>(options.width));
  if (!y_label.empty() && plot.y.label != plot.title) out += y_label + "\n";
  const bool empty = !has_points(plot, scales);
  for (int y = 0; y < height; ++y) {
    const std::string& label = labels[static_cast<size_t>(y)];
    out += padded(label, label_width, Align::kRight) + " " +
           dimmed(label.empty() ? "│" : "┤", options);
    if (empty && y == height / 2)
      out += std::string(static_cast<size_t>(std::max(0, (width - 9) / 2)), ' ') + "no points";
    out += canvas.row(y, options) + "\n";
  }
  return out + axis_lines(scales.x, width, left, plot.x.label, options);
}

std::string terminal_bars(const Bars& bars, const TerminalOptions& options) {
  static constexpr const char* kParts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto total = static_cast<size_t>(options.width);
  const size_t n = std::min(bars.names.size(), bars.values.size());
  size_t name_width = 0, value_width = 0;
  double low = 0, high = 0;
  for (size_t i = 0; i < n; ++i) {
    name_width = std::max(name_width, columns(one_line(bars.names[i])));
    value_width = std::max(value_width, shown(bars.values[i], bars.form).size());
    if (!std::isfinite(bars.values[i])) continue;
    low = std::min(low, bars.values[i]);
    high = std::max(high, bars.values[i]);
  }
  name_width = std::min(name_width, total / 3);
  const size_t used = 2 + name_width + 2 + 1 + value_width;
  const double room = static_cast<double>(std::max<size_t>(total > used ? total - used : 0, 6));
  std::string out = title_line(bars.title, options);
  if (n == 0) return out + "  no bars\n";
  const Scale scale(low, high, false);
  const bool any = high > low;
  // Bars begin at zero, wherever that is.
  const double zero = any ? scale.place(0) * room : 0;
  for (size_t i = 0; i < n; ++i) {
    const double end =
        any && std::isfinite(bars.values[i]) ? scale.place(bars.values[i]) * room : zero;
    const double from = std::min(zero, end), to = std::max(zero, end);
    std::string bar(static_cast<size_t>(std::lround(from)), ' ');
    const auto eighths = static_cast<size_t>(std::lround(8 * (to - std::round(from))));
    std::string blocks;
    for (size_t k = 0; k < eighths / 8; ++k) blocks += "█";
    blocks += kParts[eighths % 8];
    if (!blocks.empty()) bar += in_line_colour(blocks, bars.values[i] < 0 ? 1 : 0, options);
    out += "  " +
           padded(cut_to_columns(one_line(bars.names[i]), name_width), name_width, Align::kLeft) +
           "  " + bar + " " + shown(bars.values[i], bars.form) + "\n";
  }
  return out;
}

}  // namespace fathom::report
