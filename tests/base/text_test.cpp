#include "fathom/base/text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

using Names = std::vector<std::string>;

TEST(NearestName, FindsOneEditOfEveryKind) {
  const Names names = {"n_head", "n_layer", "dropout"};
  for (const char* typo : {"n_layr", "n_layerr", "n_lajer", "n_alyer", "n_layer"})
    EXPECT_EQ(nearest_name(typo, names), "n_layer") << typo;
}

TEST(NearestName, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest_name("temperature", {"n_head", "n_layer"}), "");
  EXPECT_EQ(nearest_name("x", {}), "");
  EXPECT_EQ(nearest_name("", {"n_head"}), "");
}

TEST(NearestName, AThirdOfTheLettersMayDiffer) {
  EXPECT_EQ(nearest_name("abcdxx", {"abcdef"}), "abcdef");
  EXPECT_EQ(nearest_name("abcxxx", {"abcdef"}), "");
  EXPECT_EQ(nearest_name("a", {"b"}), "b") << "one edit is always forgiven";
}

TEST(NearestName, TiesGoToTheFirstAndTheNearestWins) {
  EXPECT_EQ(nearest_name("beta", {"beta1", "beta2"}), "beta1");
  EXPECT_EQ(nearest_name("beta2", {"beta1", "beta2"}), "beta2");
}

TEST(NearestName, AnySingleEditOfALongNameIsFound) {
  EXPECT_TRUE(rc::check([] {
    const std::string name = "gradient_accumulation_steps";
    const auto at = *rc::gen::inRange<size_t>(0, name.size() - 1);
    std::string typo = name;
    switch (*rc::gen::inRange(0, 4)) {
      case 0:
        typo.erase(at, 1);
        break;
      case 1:
        typo.insert(at, 1, 'q');
        break;
      case 2:
        typo[at] = 'q';
        break;
      default:
        std::swap(typo[at], typo[at + 1]);
    }
    RC_ASSERT(nearest_name(typo, {"n_layer", name, "learning_rate"}) == name);
  }));
}

TEST(Suggestion, ANameOfAMillionLettersIsNearToNothing) {
  EXPECT_EQ(nearest_name(std::string(1 << 20, 'a'), {"color", "aaa"}), "");
}

TEST(Suggestion, NearMissShortListOrWhereToLook) {
  EXPECT_EQ(suggestion("colour", {"color", "size"}), "did you mean color?");
  EXPECT_EQ(suggestion("weight", {"color", "size"}), "allowed: color, size");
  const Names many(13, "a_long_name");
  EXPECT_EQ(suggestion("zzz", many, "fathom list"), "see `fathom list`");
  EXPECT_EQ(suggestion("zzz", Names(12, "b"), "fathom list").rfind("allowed: ", 0), 0u);
}

TEST(Numbers, OfThings) {
  EXPECT_EQ(counted(1, "step"), "1 step");
  EXPECT_EQ(counted(0, "step"), "0 steps");
  EXPECT_EQ(counted(1234, "batch", "batches"), "1,234 batches");
}

TEST(Numbers, Commas) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(1234567), "1,234,567");
  EXPECT_EQ(with_commas(-999), "-999");
  EXPECT_EQ(with_commas(-123456), "-123,456");
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
  EXPECT_EQ(with_commas(INT64_MAX), "9,223,372,036,854,775,807");
  EXPECT_EQ(with_commas(INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(Numbers, Counts) {
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(1000), "1.00k");
  EXPECT_EQ(human_count(120560209), "120.56M");
  EXPECT_EQ(human_count(2.5e9), "2.50B");
  EXPECT_EQ(human_count(3e12), "3.00T");
  EXPECT_EQ(human_count(-1500), "-1.50k");
}

// Rounding never shows a thousand of a unit where one of the next is meant.
TEST(Numbers, RoundingCarriesIntoTheNextUnit) {
  EXPECT_EQ(human_count(999.9), "1.00k");
  EXPECT_EQ(human_count(999.4), "999");
  EXPECT_EQ(human_count(999994), "999.99k");
  EXPECT_EQ(human_count(999999), "1.00M");
  EXPECT_EQ(human_count(999999999), "1.00B");
  EXPECT_EQ(human_bytes(1023.9), "1.0 KiB");
  EXPECT_EQ(human_bytes(1024.0 * 1024 - 1), "1.0 MiB");
}

TEST(Numbers, Bytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(1 << 20), "1.0 MiB");
  EXPECT_EQ(human_bytes(7.8 * (1 << 30)), "7.8 GiB");
  EXPECT_EQ(human_bytes(2.0 * 1024 * (1 << 30)), "2.0 TiB");
}

TEST(Numbers, Durations) {
  EXPECT_EQ(human_duration(0), "0s");
  EXPECT_EQ(human_duration(59.4), "59s");
  EXPECT_EQ(human_duration(59.6), "1m00s");
  EXPECT_EQ(human_duration(125.3), "2m05s");
  EXPECT_EQ(human_duration(3599.7), "1h00m");
  EXPECT_EQ(human_duration(3661), "1h01m");
  EXPECT_EQ(human_duration(90000), "25h00m");
  EXPECT_EQ(human_duration(-3), "0s");
}

TEST(InQuotes, EscapesWhatWouldNotBeSeen) {
  EXPECT_EQ(in_quotes("plain"), R"("plain")");
  EXPECT_EQ(in_quotes("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(in_quotes("\n\t\r"), R"("\n\t\r")");
  EXPECT_EQ(in_quotes(std::string("\0\x1b\x7f", 3)), R"("\x00\x1b\x7f")");
  EXPECT_EQ(in_quotes("é€😀"), "\"é€😀\"");
  EXPECT_EQ(in_quotes("\xC2\x9B\xC2\xA0"), "\"\\xc2\\x9b\xC2\xA0\"");
  EXPECT_EQ(in_quotes("\xC3("), R"("\xc3(")");
  EXPECT_EQ(in_quotes("\xED\xA0\x80"), R"("\xed\xa0\x80")");
}

// Whatever comes in, what goes to the terminal is well-formed and without control characters.
TEST(InQuotes, IsAlwaysPrintable) {
  EXPECT_TRUE(rc::check([](const std::string& bytes) {
    const std::string shown = in_quotes(bytes);
    for (size_t i = 0; i < shown.size();) {
      const size_t n = utf8_length(shown, i);
      RC_ASSERT(n > 0u);
      RC_ASSERT(static_cast<unsigned char>(shown[i]) >= 0x20);
      RC_ASSERT(shown[i] != 0x7F);
      i += n;
    }
  }));
}

TEST(Trim, TakesBothEndsOnly) {
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim("\n \t"), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Join, PutsSeparatorsBetween) {
  EXPECT_EQ(join({"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(join({"a"}, ", "), "a");
  EXPECT_EQ(join({}, ", "), "");
}

TEST(Errors, CarryKindMessageAndHint) {
  try {
    misuse("n_layer = 0 is out of range", "1 or more");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_STREQ(e.what(), "n_layer = 0 is out of range");
    EXPECT_EQ(e.hint(), "1 or more");
  }
  try {
    fail("disk full");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kFailure);
    EXPECT_EQ(e.hint(), "");
  }
  EXPECT_THROW(misuse(""), Error);
  EXPECT_THROW(fail(""), Error);
}

TEST(Escaped, IsAWordInsideASentence) {
  EXPECT_EQ(escaped("a \"b\" \\ é"), "a \"b\" \\ é") << "what can be read stays";
  EXPECT_EQ(escaped("\x1b[31m\xff\n"), "\\x1b[31m\\xff\\n");
  EXPECT_EQ(escaped(std::string(80, 'a')), std::string(80, 'a'));
  EXPECT_EQ(escaped(std::string(79, 'a') + "é"), std::string(79, 'a') + "...") << "no half letter";
  EXPECT_EQ(quoted_start(std::string(81, 'a')), '"' + std::string(80, 'a') + "\"...");
  EXPECT_EQ(quoted_start("a\"b"), "\"a\\\"b\"");
  EXPECT_EQ(shown_list(std::vector<int64_t>{1, 2}), "1, 2");
}

TEST(Escaped, PrintableIsWhatNeedsNoEscape) {
  EXPECT_TRUE(is_printable("it's \"so\" \\ é"));
  for (const char* text : {"\n", "\t", "\x1b", "\x7f", "\xc2\x85", "\xff", "a\xc3"})
    EXPECT_FALSE(is_printable(text)) << in_quotes(text);
}

}  // namespace
}  // namespace fathom
