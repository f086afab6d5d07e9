#include "fathom/base/visible.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "fathom/base/text.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

TEST(Visible, WhatIsReadStays) {
  for (const char* text : {"plain, with\ttabs\nand lines\n", "é€😀", "Война и мир", "漢字",
                           "e\xCC\x81", "a\xC2\xA0z", "❤\xEF\xB8\x8F"})
    EXPECT_EQ(visible(text), text);
}

TEST(Visible, WhatATerminalObeysIsShown) {
  EXPECT_EQ(visible("\x1b[2Jgone\r\x07\x7f"), "\\x1b[2Jgone\\r\\x07\\x7f");
  EXPECT_EQ(visible("\xC2\x9B"
                    "2J"),
            "\\xc2\\x9b2J")
      << "C1 has a CSI of its own";
  EXPECT_EQ(visible("\x9B"), "\\x9b");
  EXPECT_EQ(visible(std::string("\0", 1)), "\\x00");
}

TEST(Visible, WhatNobodySeesIsShown) {
  EXPECT_EQ(visible("a\u200Bb\u00ADc"), "a\\u200bb\\u00adc");
  EXPECT_EQ(visible("\u202Egpj.exe"), "\\u202egpj.exe") << "the rest would be read backwards";
  EXPECT_EQ(visible("\u2066\u2069\uFEFF\u2028\u2029\uFFF9"),
            "\\u2066\\u2069\\ufeff\\u2028\\u2029\\ufff9");
  EXPECT_EQ(visible("\U000E0041\U000E007F"), "\\U000e0041\\U000e007f") << "tags spell words";
  EXPECT_EQ(visible("\u3164\u115F\u034F\u061C\u180E"), "\\u3164\\u115f\\u034f\\u061c\\u180e");
}

// Behind a letter a selector chooses its form; behind another selector it hides a byte.
TEST(Visible, VariationSelectorsNeedSomethingToVary) {
  EXPECT_EQ(visible("\uFE0F"), "\\ufe0f");
  EXPECT_EQ(visible("a\uFE0F\uFE00\U000E0100"), "a\uFE0F\\ufe00\\U000e0100");
  EXPECT_EQ(visible("\n\uFE0F"), "\n\\ufe0f");
}

TEST(Visible, QuotesShowTheSame) {
  EXPECT_EQ(in_quotes("a\u200Bb"), "\"a\\u200bb\"");
  EXPECT_EQ(escaped("\u202E\xEF\xBB\xBFx"), "\\u202e\\ufeffx");
  EXPECT_FALSE(is_printable("a\u200Bb"));
  EXPECT_FALSE(is_printable("\uFEFFa"));
}

TEST(VisibleText, HalfACharacterWaits) {
  VisibleText text;
  EXPECT_EQ(text.add("a\xF0"), "a");
  EXPECT_EQ(text.add("\x9F\x98"), "");
  EXPECT_EQ(text.add("\x80!"), "😀!");
  EXPECT_EQ(text.add("\xE2\x82"), "");
  EXPECT_EQ(text.add("z"), "\\xe2\\x82z") << "no byte can follow that makes a character";
  EXPECT_EQ(text.add("\xC3"), "");
  EXPECT_EQ(text.finish(), "\\xc3");
  EXPECT_EQ(text.finish(), "");
  EXPECT_EQ(text.add("\xC2"), "");
  EXPECT_EQ(text.add("\x9B"), "\\xc2\\x9b") << "half a control is one all the same";
}

// However a text is cut, the pieces show the same and are printable lines.
TEST(VisibleText, PiecesShowWhatTheWholeDoes) {
  EXPECT_TRUE(rc::check([](const std::string& bytes, const std::vector<uint8_t>& cuts) {
    VisibleText pieces;
    std::string shown, rest = bytes;
    for (const uint8_t cut : cuts) {
      const size_t n = std::min<size_t>(cut % 4, rest.size());
      shown += pieces.add(rest.substr(0, n));
      rest.erase(0, n);
    }
    shown += pieces.add(rest);
    shown += pieces.finish();
    RC_ASSERT(shown == visible(bytes));
    for (size_t i = 0; i < shown.size();) {
      const size_t n = utf8_length(shown, i);
      RC_ASSERT(n > 0u);
      RC_ASSERT(shown[i] == '\n' || shown[i] == '\t' ||
                static_cast<unsigned char>(shown[i]) >= 0x20);
      i += n;
    }
  }));
}

TEST(Utf8, KnowsABeginning) {
  for (const char* cut : {"\xC3", "\xE2", "\xE2\x82", "\xE0\xA0", "\xED\x9F", "\xF0\x90\x80",
                          "\xF0\x9F\x98", "\xF4\x8F", "\xF1"})
    EXPECT_TRUE(is_cut_utf8(cut, 0)) << in_quotes(cut);
  for (const char* other : {"a", "\x80", "\xC3(", "\xC0", "\xE0\x80", "\xED\xA0", "\xF4\x90",
                            "\xF5", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"})
    EXPECT_FALSE(is_cut_utf8(other, 0)) << in_quotes(other);
  EXPECT_TRUE(is_cut_utf8("ab\xE2\x82", 2));
}

}  // namespace
}  // namespace fathom
