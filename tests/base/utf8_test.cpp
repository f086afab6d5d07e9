// UTF-8 against the table of well-formed sequences: Unicode 14, table 3-7.
#include "fathom/base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace fathom {
namespace {

TEST(Utf8, EveryScalarValueMakesARoundTrip) {
  for (uint32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    utf8_append(text, code);
    const size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    ASSERT_EQ(text.size(), length) << std::hex << code;
    ASSERT_EQ(utf8_length(text, 0), length) << std::hex << code;
    ASSERT_EQ(utf8_decode(text, 0, length), code);
  }
}

TEST(Utf8, KnownBytes) {
  EXPECT_EQ(utf8_length("A", 0), 1u);
  EXPECT_EQ(utf8_length("é", 0), 2u);
  EXPECT_EQ(utf8_length("€", 0), 3u);
  EXPECT_EQ(utf8_length("😀", 0), 4u);
  EXPECT_EQ(utf8_decode("😀", 0, 4), 0x1F600u);
  std::string text = "a";
  utf8_append(text, 0x20AC);
  EXPECT_EQ(text, "a\xE2\x82\xAC");
}

TEST(Utf8, StartsAnywhereInTheText) {
  const std::string text = "x€y";
  EXPECT_EQ(utf8_length(text, 1), 3u);
  EXPECT_EQ(utf8_decode(text, 1, 3), 0x20ACu);
  EXPECT_EQ(utf8_length(text, 2), 0u) << "the middle of a character starts none";
  EXPECT_EQ(utf8_length(text, 4), 1u);
}

struct Malformed {
  const char* why;
  std::string bytes;
};

TEST(Utf8, EveryKindOfMalformedSequenceIsRefused) {
  const Malformed cases[] = {
      {"a continuation byte alone", "\x80"},
      {"the last continuation byte alone", "\xBF"},
      {"overlong, 2 bytes", "\xC0\x80"},
      {"overlong, 2 bytes, the largest", "\xC1\xBF"},
      {"overlong, 3 bytes", "\xE0\x80\x80"},
      {"overlong, 3 bytes, the largest", "\xE0\x9F\xBF"},
      {"overlong, 4 bytes", "\xF0\x80\x80\x80"},
      {"overlong, 4 bytes, the largest", "\xF0\x8F\xBF\xBF"},
      {"the first surrogate", "\xED\xA0\x80"},
      {"the last surrogate", "\xED\xBF\xBF"},
      {"above U+10FFFF", "\xF4\x90\x80\x80"},
      {"lead byte F5", "\xF5\x80\x80\x80"},
      {"lead byte FE", "\xFE"},
      {"lead byte FF", "\xFF"},
      {"2 bytes, cut", "\xC3"},
      {"3 bytes, cut after one", "\xE2"},
      {"3 bytes, cut after two", "\xE2\x82"},
      {"4 bytes, cut after three", "\xF0\x9F\x98"},
      {"second byte is no continuation", "\xC3("},
      {"third byte is no continuation", "\xE2\x82("},
      {"fourth byte is no continuation", "\xF0\x9F\x98("},
      {"a new lead byte in the middle", "\xE2\xC3\xA9"},
  };
  for (const Malformed& m : cases) EXPECT_EQ(utf8_length(m.bytes, 0), 0u) << m.why;
}

TEST(Utf8, TheNeighboursOfEveryBoundaryAreTaken) {
  for (const char* bytes : {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                            "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    EXPECT_EQ(utf8_length(bytes, 0), std::string(bytes).size());
}

}  // namespace
}  // namespace fathom
