// Whether pictures are XML: by a check of ours and, where it is installed, by xmllint.
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "fathom/base/utf8.h"
#include "fathom/io/program.h"
#include "report/report_testing.h"

namespace fathom::report {
namespace {

using ::testing::HasSubstr;

// Of character data or of an attribute's value.
std::string fault_of_text(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0) return "a byte that is not UTF-8";
    const uint32_t code = utf8_decode(text, i, length);
    if ((code < 0x20 && code != '\n' && code != '\t') || code == 0xFFFE || code == 0xFFFF)
      return "a character that XML forbids";
    if (text[i] == '<') return "a bare <";
    if (text[i] == '&') {
      const std::string_view entity = text.substr(i, text.find(';', i) - i + 1);
      bool known = false;
      for (const char* e : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"}) known |= entity == e;
      if (!known) return "an unknown entity";
    }
    i += length;
  }
  return "";
}

// Of what stands between < and >, behind the name.
std::string fault_of_attributes(std::string_view text) {
  while (!text.empty()) {
    if (text[0] != ' ') return "attributes that are not apart";
    text.remove_prefix(1);
    const size_t equals = text.find("=\"");
    if (equals == text.npos || equals == 0) return "an attribute without a value";
    for (const char c : text.substr(0, equals))
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != ':')
        return "a bad name";
    text.remove_prefix(equals + 2);
    const size_t end = text.find('"');
    if (end == text.npos) return "a value without an end";
    if (std::string fault = fault_of_text(text.substr(0, end)); !fault.empty()) return fault;
    text.remove_prefix(end + 1);
  }
  return "";
}

}  // namespace

std::string fault_of_xml(const std::string& xml) {
  std::vector<std::string> open;
  bool any = false;
  for (size_t at = 0; at < xml.size();) {
    const size_t tag = std::min(xml.find('<', at), xml.size());
    const std::string text = xml.substr(at, tag - at);
    if (open.empty() && text.find_first_not_of('\n') != text.npos) return "text outside";
    if (std::string fault = fault_of_text(text); !fault.empty()) return fault;
    if (tag == xml.size()) break;
    const size_t end = xml.find('>', tag);
    if (end == xml.npos) return "a tag without an end";
    std::string inside = xml.substr(tag + 1, end - tag - 1);
    at = end + 1;
    const bool closes = !inside.empty() && inside[0] == '/';
    const bool empty = !inside.empty() && inside.back() == '/';
    if (closes) inside.erase(0, 1);
    if (empty) inside.pop_back();
    const std::string name = inside.substr(0, inside.find(' '));
    if (open.empty() && any) return "a second root";
    any = true;
    if (closes) {
      if (open.empty() || open.back() != inside) return "</" + inside + "> closes something else";
      open.pop_back();
      continue;
    }
    if (empty && inside.back() == ' ') inside.pop_back();
    if (std::string fault = fault_of_attributes(inside.substr(name.size())); !fault.empty())
      return fault + " in <" + inside + ">";
    if (!empty) open.push_back(name);
  }
  return open.empty() && any ? "" : "elements are left open";
}

namespace {

TEST(XmlCheck, FindsFaults) {
  EXPECT_EQ(fault_of_xml("<a b=\"1\">x &lt; <c/></a>\n"), "");
  for (const char* bad : {"", "<a>", "<a></b>", "<a b=1></a>", "<a>&x;</a>", "<a>\x01</a>",
                          "<a>\xff</a>", "<a/><b/>", "<a b=\"<\"></a>", "x<a/>"})
    EXPECT_NE(fault_of_xml(bad), "") << bad;
}

TEST(Svg, IsXmlWhateverItsTextsAre) {
  EXPECT_EQ(fault_of_xml(render_svg(example())), "");
  for (const std::string& text : hostile_texts())
    EXPECT_EQ(fault_of_xml(render_svg(report_of(text))), "") << text;
}

TEST(Svg, IsXmlToXmllintToo) {
  const std::string xmllint = find_program("xmllint");
  if (xmllint.empty()) GTEST_SKIP() << "xmllint is not installed";
  const std::string file =
      std::filesystem::temp_directory_path() / ("fathom-svg-" + std::to_string(getpid()));
  std::vector<std::string> pictures = {render_svg(example())};
  for (const std::string& text : hostile_texts()) pictures.push_back(render_svg(report_of(text)));
  for (const std::string& picture : pictures) {
    std::ofstream(file, std::ios::binary) << picture;
    const ProgramOutcome o = run_program(xmllint, {"--noout", file}, 60);
    EXPECT_EQ(o.exit_code, 0) << o.err;
  }
  std::filesystem::remove(file);
}

TEST(Html, ItsPicturesAreXml) {
  for (const std::string& text : hostile_texts()) {
    const std::string page = render_html(report_of(text));
    size_t pictures = 0;
    for (size_t at = 0; (at = page.find("<svg", at)) != page.npos; ++pictures) {
      const size_t end = page.find("</svg>", at) + 6;
      EXPECT_EQ(fault_of_xml(page.substr(at, end - at)), "") << text;
      at = end;
    }
    EXPECT_EQ(pictures, 2U);
  }
}

}  // namespace
}  // namespace fathom::report
