// Literals as typed: every form, every refusal with its position, and the way back.
#include "fathom/config/literal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "config/config_testing.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::refusal_of;

TEST(Literal, Words) {
  for (const char* text : {"None", "none", "null"}) EXPECT_EQ(parse_literal(text), nullptr) << text;
  for (const char* text : {"True", "true"}) EXPECT_EQ(parse_literal(text), true) << text;
  for (const char* text : {"False", "false"}) EXPECT_EQ(parse_literal(text), false) << text;
}

TEST(Literal, Integers) {
  EXPECT_EQ(parse_literal("12"), 12);
  EXPECT_EQ(parse_literal("-12"), -12);
  EXPECT_EQ(parse_literal("+12"), 12);
  EXPECT_EQ(parse_literal("1_000_000"), 1000000);
  EXPECT_EQ(parse_literal("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(parse_literal("-9223372036854775808"), INT64_MIN);
  EXPECT_TRUE(parse_literal("12").is_number_integer());
}

TEST(Literal, Floats) {
  EXPECT_EQ(parse_literal("1e-3"), 1e-3);
  EXPECT_EQ(parse_literal("6E4"), 6e4);
  EXPECT_EQ(parse_literal(".5"), 0.5);
  EXPECT_EQ(parse_literal("-2."), -2.0);
  EXPECT_EQ(parse_literal("+1.5"), 1.5);
  EXPECT_EQ(parse_literal("1_0.2_5"), 10.25);
  EXPECT_EQ(parse_literal("inf"), INFINITY);
  EXPECT_EQ(parse_literal("-inf"), -INFINITY);
  EXPECT_TRUE(std::isnan(parse_literal("nan").get<double>()));
  EXPECT_TRUE(parse_literal("2.0").is_number_float());
  // Beyond 64 bits an integer is a float, as in JSON.
  EXPECT_EQ(parse_literal("9223372036854775808"), 9223372036854775808.0);
}

TEST(Literal, Texts) {
  EXPECT_EQ(parse_literal("'a b'"), "a b");
  EXPECT_EQ(parse_literal("\"a'b\""), "a'b");
  EXPECT_EQ(parse_literal("'a\"b'"), "a\"b");
  EXPECT_EQ(parse_literal(R"('a\n\t\r\\\'\"b')"), "a\n\t\r\\'\"b");
  EXPECT_EQ(parse_literal("''"), "");
  EXPECT_EQ(parse_literal("'[1, # 2)'"), "[1, # 2)");
  EXPECT_EQ(parse_literal("'é€😀'"), "é€😀");
}

TEST(Literal, Lists) {
  EXPECT_EQ(parse_literal("[]"), json::array());
  EXPECT_EQ(parse_literal("()"), json::array());
  EXPECT_EQ(parse_literal("[1, 2.5, 'x', None, true]"), json({1, 2.5, "x", nullptr, true}));
  EXPECT_EQ(parse_literal("(1, 2)"), json({1, 2}));
  EXPECT_EQ(parse_literal("(1,)"), json::array({1}));
  EXPECT_EQ(parse_literal("[[1,2],[3]]"), json({{1, 2}, json::array({3})}));
  EXPECT_EQ(parse_literal(" [ 1 ,\n 2 , ] "), json({1, 2}));
  EXPECT_EQ(parse_literal("[(1, 2), []]"), json({{1, 2}, json::array()}));
}

struct RefusedLiteral {
  const char* text;
  const char* why;
  int position;  // from 1
};

TEST(Literal, RefusalsSayWhatAndWhere) {
  const RefusedLiteral cases[] = {
      {"", "missing", 1},
      {"  ", "missing", 3},
      {"abc", "not a number", 1},
      {"1 2", "unexpected", 3},
      {"True)", "unexpected", 5},
      {"[1, 2", "not closed", 6},
      {"[1 2]", "expected ,", 4},
      {"[1, 2)", "expected ,", 6},
      {"(1, 2]", "expected ,", 6},
      {"[1,,2]", "not a number", 4},
      {"[,]", "not a number", 2},
      {"[1, x]", "not a number", 5},
      {"]", "not a number", 1},
      {"'abc", "not closed", 5},
      {"'abc\\", "not closed", 6},
      {"'ab\"", "not closed", 5},
      {"'a\\q'", "escape", 4},
      {"1__0", "not a number", 1},
      {"_1", "not a number", 1},
      {"1_", "not a number", 1},
      {"+", "not a number", 1},
      {"+-1", "not a number", 1},
      {"--1", "not a number", 1},
      {"1e", "not a number", 1},
      {"e5", "not a number", 1},
      {"1.2.3", "not a number", 1},
      {"0x10", "not a number", 1},
      {"1-2", "not a number", 1},
      {"os.system", "not a number", 1},
      {"f(1)", "not a number", 1},
      {"{'a': 1}", "not a number", 1},
      {"infinity", "not a number", 1},
      {"TRUE", "not a number", 1},
  };
  for (const RefusedLiteral& c : cases) {
    const Error error = refusal_of([&] { parse_literal(c.text); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << c.text;
    EXPECT_THAT(error.what(), HasSubstr(c.why)) << c.text;
    const std::string position = " at character " + std::to_string(c.position);
    EXPECT_THAT(error.what(), ::testing::EndsWith(position)) << c.text;
  }
}

TEST(Literal, HostileNestingIsRefusedWithoutDeepRecursion) {
  const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(parse_literal(nested(8)).is_array());
  const Error error = refusal_of([&] { parse_literal(nested(1000000)); });
  EXPECT_THAT(error.what(), HasSubstr("deep"));
  EXPECT_LT(std::string(error.what()).size(), 1000u) << "a message is not a megabyte";
}

TEST(Literal, SpellingsAreShortAndKeepTheirType) {
  EXPECT_EQ(to_literal(nullptr), "None");
  EXPECT_EQ(to_literal(true), "true");
  EXPECT_EQ(to_literal(3), "3");
  EXPECT_EQ(to_literal(3.0), "3.0");
  EXPECT_EQ(to_literal(6e-4), "0.0006");
  EXPECT_EQ(to_literal(0.1), "0.1");
  EXPECT_EQ(to_literal("a\"b\n"), R"("a\"b\n")");
  EXPECT_EQ(to_literal(json({1, {2.0, nullptr}})), "[1, [2.0, None]]");
}

json any_number() {
  if (*rc::gen::arbitrary<bool>()) return *rc::gen::arbitrary<int64_t>();
  return testing::any_double();
}

json any_value(int depth) {
  switch (*rc::gen::inRange(0, depth > 0 ? 5 : 4)) {
    case 0:
      return nullptr;
    case 1:
      return *rc::gen::arbitrary<bool>();
    case 2:
      return any_number();
    case 3:
      return *rc::gen::arbitrary<std::string>();
    default: {
      json list = json::array();
      for (int n = *rc::gen::inRange(0, 4); n > 0; --n) list.push_back(any_value(depth - 1));
      return list;
    }
  }
}

// Equal in value and in type, infinities and every byte of a text included.
TEST(Literal, SpellingAndParsingIsTheIdentity) {
  EXPECT_TRUE(rc::check([] {
    const json value = any_value(4);
    const json back = parse_literal(to_literal(value));
    RC_ASSERT(back == value);
    RC_ASSERT(back.is_number_float() == value.is_number_float());
  }));
}

TEST(Literal, AnyTextIsParsedOrRefused) {
  EXPECT_TRUE(rc::check([] {
    const auto text = *rc::gen::container<std::string>(
        rc::gen::elementOf(std::string("[]()'\"\\, \n01.eE+-_NnoTru#=\x80\xC3")));
    try {
      const json value = parse_literal(text);
      RC_ASSERT(parse_literal(to_literal(value)) == value);
    } catch (const Error& e) {
      RC_ASSERT(e.kind() == ErrorKind::kUsage);
    }
  }));
}

}  // namespace
}  // namespace fathom
