#include "fathom/io/json_text.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "fathom/base/text.h"
#include "source_path.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::error_of;
using ::testing::HasSubstr;

std::string nested(int depth) {
  const auto n = static_cast<size_t>(depth);
  return std::string(n, '[') + std::string(n, ']');
}

TEST(JsonText, IsReadAsItStands) {
  EXPECT_EQ(parse_json(R"({"a": [1, -2.5, null, "é"]})", "x"),
            (json{{"a", {1, -2.5, nullptr, "é"}}}));
}

TEST(JsonText, SaysWhereItBreaks) {
  EXPECT_THAT(error_of([] { parse_json("[1, ", "x.json"); }),
              HasSubstr("x.json is not JSON: it breaks at byte 5"));
  const std::string message = error_of([] { parse_json("[\x1b\xff]", "x.json"); });
  EXPECT_TRUE(is_printable(message)) << in_quotes(message);
  EXPECT_THAT(error_of([] { parse_json("[1e999]", "x.json"); }), HasSubstr("too large"));
}

TEST(JsonText, MembersCanKeepTheOrderOfTheText) {
  const auto tree = parse_ordered_json(R"({"b": 1, "a": {"d": 2, "c": 3}})", "x");
  std::string keys;
  for (const auto& [key, value] : tree.items()) keys += key;
  EXPECT_EQ(keys, "ba");
  EXPECT_NO_THROW(parse_ordered_json(R"([{"a": 1}, {"a": {"a": 2}}])", "x"));
  EXPECT_THAT(error_of([] { parse_ordered_json(R"({"a": {"b": 1, "b": 2}})", "x"); }),
              HasSubstr("x has \"b\" twice"));
  EXPECT_THAT(error_of([] { parse_ordered_json(nested(33), "x"); }), HasSubstr("deeper than 32"));
  EXPECT_THAT(error_of([] { parse_ordered_json("[1, ", "x"); }), HasSubstr("breaks at byte 5"));
  std::string many = "{";
  for (int i = 0; i < 5000; ++i) many += "\"" + std::to_string(i) + "\": 0,";
  many.back() = '}';
  EXPECT_THAT(error_of([&] { parse_ordered_json(many, "x"); }),
              HasSubstr("more than 4096 members"));
}

TEST(JsonText, DepthIsLimited) {
  EXPECT_NO_THROW(parse_json(nested(32), "x"));
  EXPECT_THAT(error_of([] { parse_json(nested(33), "x"); }), HasSubstr("deeper than 32 levels"));
  EXPECT_THAT(error_of([] { parse_json(nested(1'000'000), "x"); }), HasSubstr("deeper"));
}

TEST(JsonText, WritingNeverFailsOnBytes) {
  EXPECT_EQ(json_text(json{{"path", "caf\xe9"}}), "{\"path\":\"caf\xef\xbf\xbd\"}");
  EXPECT_EQ(json_text(json{{"a", 1}}, 2), "{\n  \"a\": 1\n}");
}

// A dump() without a word on bytes ends finished work in a library's exception.
TEST(JsonText, IsTheOnlyWriter) {
  namespace fs = std::filesystem;
  size_t files = 0;
  for (const char* folder : {"src", "experiments"})
    for (const auto& entry : fs::recursive_directory_iterator(testing::source_path(folder))) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
      ++files;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);)
        EXPECT_TRUE(line.find(".dump(") == line.npos ||
                    line.find("error_handler_t::replace") != line.npos)
            << entry.path() << ": " << line << "\ntake json_text() of io/json_text.h";
    }
  EXPECT_GT(files, 100U);
}

TEST(JsonText, ValuesAreShownShort) {
  EXPECT_EQ(shown_json(7), "7");
  EXPECT_EQ(shown_json("\x1b"), "\"\\x1b\"");
  EXPECT_EQ(shown_json(json::array({1})), "a list");
  EXPECT_EQ(shown_json(json{{"a", 1}}), "an object");
}

}  // namespace
}  // namespace fathom
