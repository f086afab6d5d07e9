#include "fathom/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/utf8.h"
#include "fathom/base/visible.h"
#include "fathom/report/columns.h"
#include "fathom/report/render.h"

namespace fathom::report {
namespace {

constexpr double kPageWidth = 760, kMargin = 20;
constexpr double kFixedLetter = 0.6;  // of a fixed font's size
constexpr const char* kInk = "class=\"ink\" fill=\"#1b1b1f\"";

std::string xml_escaped(const std::string& text) {
  std::string out;
  for (size_t i = 0, length = 0; i < text.size(); i += length) {
    length = std::max<size_t>(utf8_length(text, i), 1);
    const std::string_view character = std::string_view(text).substr(i, length);
    // XML has no place for the last two of the first plane, not even by number.
    const uint32_t code = length > 1 ? utf8_decode(text, i, length) : 0;
    if (code == 0xFFFE || code == 0xFFFF)
      out += escape_of(character);
    else if (character == "&")
      out += "&amp;";
    else if (character == "<")
      out += "&lt;";
    else if (character == ">")
      out += "&gt;";
    else if (character == "\"")
      out += "&quot;";
    else if (character == "'")
      out += "&#39;";
    else
      out += character;
  }
  return out;
}

// Text of a fixed font at a size, as wide as its columns say whatever font there is.
std::string fixed_text(double x, double y, double size, const std::string& look,
                       const std::string& text) {
  if (text.empty()) return "";
  const double width = static_cast<double>(columns(text)) * size * kFixedLetter;
  return svg_text(x, y,
                  fmt::format("{} font-family=\"ui-monospace, monospace\" font-size=\"{}\" "
                              "xml:space=\"preserve\" textLength=\"{}\" "
                              "lengthAdjust=\"spacingAndGlyphs\"",
                              look, size, coordinate(width)),
                  text);
}

Drawing lines_of(const std::vector<std::string>& lines, double size, const std::string& look,
                 double width) {
  Drawing out{width, 0, ""};
  for (const std::string& line : lines) {
    out.height += size * 1.5;
    out.elements +=
        svg_text(0, out.height - size * 0.4, fmt::format("{} font-size=\"{}\"", look, size), line);
  }
  return out;
}

// Columns of a proportional font, on average.
size_t letters(double width, double size) {
  return static_cast<size_t>(width / (0.54 * size));
}

std::string key(double x, double y, const std::string& colour) {
  return fmt::format("<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{}\"/>\n",
                     coordinate(x), coordinate(y), colour);
}

Drawing legend(const ColouredText& text, double width) {
  constexpr double kSize = 12, kLetter = 6.6;
  Drawing out{width, 0, ""};
  const std::string look = fmt::format("{} font-size=\"{}\"", kInk, kSize);
  double x = 0, y = 18;
  const auto add = [&](const std::string& word, const std::string& colour) {
    const double size =
        (colour.empty() ? 0 : 16) + kLetter * static_cast<double>(columns(word)) + 14;
    if (x > 0 && x + size > width) x = 0, y += 18;
    if (!colour.empty()) out.elements += key(x, y - 10, colour);
    out.elements += svg_text(x + (colour.empty() ? 0 : 16), y, look, word);
    x += size;
  };
  if (!text.categories.empty() && !text.legend.empty()) add(one_line(text.legend), "");
  for (size_t i = 0; i < text.categories.size(); ++i) {
    TextRun of_category;
    of_category.category = i;
    add(one_line(text.categories[i].name), css(scale_colour(*scale_place(text, of_category))));
  }
  if (!text.mark.empty()) add("underlined: " + one_line(text.mark), "");
  out.height = out.elements.empty() ? 0 : y + 8;
  return out;
}

}  // namespace

std::string xml_text(std::string_view text) {
  return xml_escaped(one_line(text));
}

std::string xml_lines(std::string_view text) {
  return xml_escaped(lines_of_text(text));
}

std::string css(const Colour& colour) {
  return fmt::format("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue);
}

std::string coordinate(double value) {
  std::string out = fmt::format("{:.2f}", value);
  out.erase(out.find_last_not_of('0') + 1);
  if (out.back() == '.') out.pop_back();
  return out == "-0" ? "0" : out;
}

std::string svg_text(double x, double y, const std::string& attributes, std::string_view text) {
  return fmt::format("<text x=\"{}\" y=\"{}\" {}>{}</text>\n", coordinate(x), coordinate(y),
                     attributes, xml_text(text));
}

Drawing draw(const Heading& heading, double width) {
  const double size = heading.level <= 1 ? 19 : heading.level == 2 ? 16 : 14;
  return lines_of(wrapped(one_line(heading.text), letters(width, size)), size,
                  std::string(kInk) + " font-weight=\"bold\"", width);
}

Drawing draw(const Paragraph& paragraph, double width) {
  return lines_of(wrapped(lines_of_text(paragraph.text), letters(width, 13)), 13, kInk, width);
}

Drawing draw(const Table& table, double width) {
  constexpr double kSize = 13, kRow = 20, kGap = 18;
  const auto texts = table_texts(table);
  const std::vector<size_t> widths = table_widths(texts);
  Drawing out{width, 0, ""};
  if (!table.title.empty()) out = draw(Heading{table.title, 3}, width);
  double y = out.height, total = 0;
  for (size_t r = table.header ? 0 : 1; r < texts.size(); ++r) {
    y += kRow;
    double x = 0;
    for (size_t i = 0; i < widths.size(); ++i) {
      const double room = static_cast<double>(widths[i]) * kSize * kFixedLetter;
      const double size = static_cast<double>(columns(texts[r][i])) * kSize * kFixedLetter;
      const bool marked = r > 0 && i < table.rows[r - 1].size() && table.rows[r - 1][i].marked;
      const std::string look = std::string(kInk) + (r == 0 ? " font-weight=\"bold\"" : "") +
                               (marked ? " text-decoration=\"underline\"" : "");
      out.elements += fixed_text(table.columns[i].align == Align::kLeft ? x : x + room - size,
                                 y - 6, kSize, look, texts[r][i]);
      x += room + kGap;
    }
    total = std::max(total, x - kGap);
    if (r == 0)
      out.elements += fmt::format(
          "<line x1=\"0\" y1=\"{0}\" x2=\"{1}\" y2=\"{0}\" class=\"axis\" stroke=\"#5a5a66\"/>\n",
          coordinate(y), coordinate(total));
  }
  out.height = y + 4;
  out.width = std::max(width, total);
  return out;
}

Drawing draw(const ColouredText& text, double width) {
  constexpr double kSize = 14, kRow = 24;
  const auto across = static_cast<size_t>(width / (kSize * kFixedLetter));
  Drawing out{width, 0, ""};
  for (const std::vector<Piece>& pieces : text_lines(text, across, /*show_breaks=*/true)) {
    double x = 0;
    out.height += kRow;
    for (const Piece& piece : pieces) {
      const double size = static_cast<double>(columns(piece.text)) * kSize * kFixedLetter;
      const auto place = scale_place(text, *piece.run);
      if (place)
        out.elements += fmt::format(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"2\" fill=\"{}\"/>\n",
            coordinate(x), coordinate(out.height - kRow + 3), coordinate(size),
            coordinate(kRow - 5), css(scale_colour(*place)));
      out.elements += fixed_text(x, out.height - 8, kSize,
                                 std::string(place ? "fill=\"#1b1b1f\"" : kInk) +
                                     (piece.run->marked ? " text-decoration=\"underline\"" : ""),
                                 piece.text);
      x += size;
    }
  }
  const Drawing names = legend(text, width);
  out.elements += fmt::format("<g transform=\"translate(0 {})\">\n{}</g>\n",
                              coordinate(out.height + 4), names.elements);
  out.height += 4 + names.height;
  return out;
}

std::string render_svg(const Report& report) {
  double width = kPageWidth - 2 * kMargin, y = kMargin;
  std::string body;
  const auto add = [&](const Drawing& drawing) {
    body += fmt::format("<g transform=\"translate({} {})\">\n{}</g>\n", coordinate(kMargin),
                        coordinate(y), drawing.elements);
    y += drawing.height + 14;
    width = std::max(width, drawing.width);
  };
  const double across = width;
  if (!report.title.empty() && !repeats_title(report, kInSvg))
    add(draw(Heading{report.title, 1}, across));
  for (const Part& part : report.parts)
    if ((part.shown_in & kInSvg) != 0)
      add(std::visit([&](const auto& b) { return draw(b, across); }, part.body));
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"system-ui, sans-serif\">\n<title>{2}</title>\n"
      "<style>{3}</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\" "
      "fill=\"#fff\"/>\n{4}</svg>\n",
      coordinate(width + 2 * kMargin), coordinate(y + kMargin - 14), xml_text(report.title),
      kDarkStyle, body);
}

}  // namespace fathom::report
