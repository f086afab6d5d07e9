#include "fathom/data/tokenizer.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <nlohmann/json.hpp>

#include "data/data_testing.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;

std::string utf8_text(const std::vector<uint32_t>& raw) {
  std::string text;
  for (uint32_t code_point : raw) {
    code_point %= 0x110000;
    if (code_point >= 0xD800 && code_point < 0xE000) code_point = 'x';
    utf8_append(text, code_point);
  }
  return text;
}

TEST(ByteTokenizer, RoundTripsAnyBytes) {
  const auto tokenizer = make_byte_tokenizer();
  EXPECT_EQ(tokenizer->vocab_size(), 256);
  EXPECT_TRUE(rc::check([&](const std::string& text) {
    const std::vector<uint32_t> ids = tokenizer->encode(text);
    RC_ASSERT(ids.size() == text.size());
    RC_ASSERT(tokenizer->decode(ids) == text);
  }));
}

TEST(ByteTokenizer, RefusesAnIdOutOfRange) {
  const std::vector<uint32_t> ids = {65, 256};
  EXPECT_THAT(caught([&] { make_byte_tokenizer()->decode(ids); }).what(),
              HasSubstr("token 256 is outside the vocabulary of 256"));
}

TEST(CharTokenizer, NumbersCharactersInCodePointOrder) {
  const auto tokenizer = make_char_tokenizer("hello é\n");
  EXPECT_EQ(tokenizer->vocab_size(), 7);  // \n, space, e, h, l, o, é
  EXPECT_EQ(tokenizer->encode("\n éh"), (std::vector<uint32_t>{0, 1, 6, 3}));
  EXPECT_EQ(tokenizer->kind(), "char");
}

TEST(CharTokenizer, RoundTripsItsOwnText) {
  EXPECT_TRUE(rc::check([](const std::vector<uint32_t>& raw) {
    RC_PRE(!raw.empty());
    const std::string text = utf8_text(raw);
    const auto tokenizer = make_char_tokenizer(text);
    const std::vector<uint32_t> ids = tokenizer->encode(text);
    RC_ASSERT(ids.size() == raw.size());
    RC_ASSERT(tokenizer->decode(ids) == text);
    for (const uint32_t id : ids) RC_ASSERT(id < tokenizer->vocab_size());
    // And through meta.json's text form.
    const auto again = Tokenizer::from_json(nlohmann::json::parse(tokenizer->to_json().dump()));
    RC_ASSERT(again->encode(text) == ids);
    RC_ASSERT(again->to_json() == tokenizer->to_json());
  }));
}

TEST(CharTokenizer, NamesAnUnknownCharacterAndItsPlace) {
  const auto tokenizer = make_char_tokenizer("abcé");
  const Error error = caught([&] { tokenizer->encode("abé\tc"); });
  EXPECT_STREQ(
      error.what(),
      "the character \"\\t\" (U+0009) at position 3 is not in the vocabulary of 4 characters");
  EXPECT_THAT(error.hint(), HasSubstr("--tokenizer byte"));
  EXPECT_THAT(error.hint(), HasSubstr("--numbers_tokenizer=byte")) << "which nobody prepares";
  EXPECT_THAT(caught([&] { tokenizer->encode("a🙂"); }).what(),
              HasSubstr("(U+1F642) at position 1"));
  const Error crlf = caught([&] { tokenizer->encode("ab\r\n"); });
  EXPECT_THAT(crlf.what(), HasSubstr("(U+000D, the carriage return of lines that end in CRLF)"));
  EXPECT_THAT(crlf.hint(), HasSubstr("`sed 's/\\r$//' FILE`"));
  EXPECT_THAT(caught([&] {
                tokenizer->encode(
                    "\xEF\xBB\xBF"
                    "ab");
              }).what(),
              HasSubstr("(U+FEFF, a byte order mark) at position 0"));
}

TEST(CharTokenizer, NamesTheByteThatIsNotUtf8) {
  const Error error = caught([] { make_char_tokenizer("caf\xE9!"); });
  EXPECT_THAT(error.what(), HasSubstr("byte 3"));
  EXPECT_THAT(error.hint(), HasSubstr("--tokenizer byte"));
  EXPECT_THAT(caught([] { make_char_tokenizer("abc")->encode("ab\xFF"); }).what(),
              HasSubstr("byte 2"));
  EXPECT_THAT(caught([] { make_char_tokenizer(""); }).what(), HasSubstr("empty"));
}

TEST(CharTokenizer, RefusesAnIdOutOfRange) {
  const std::vector<uint32_t> ids = {3};
  EXPECT_THAT(caught([&] { make_char_tokenizer("abc")->decode(ids); }).what(),
              HasSubstr("token 3 is outside the vocabulary of 3"));
}

TEST(TokenizerFromJson, RefusesWhatToJsonNeverWrites) {
  const auto message = [](const char* json) {
    return std::string(caught([&] { Tokenizer::from_json(nlohmann::json::parse(json)); }).what());
  };
  EXPECT_THAT(message("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(message("{}"), HasSubstr("\"kind\""));
  EXPECT_THAT(message(R"({"kind": 7})"), HasSubstr("\"kind\""));
  EXPECT_THAT(message(R"({"kind": "morse\n"})"), HasSubstr("\"morse\\n\", known are: char, byte"));
  EXPECT_THAT(message(R"({"kind": "char"})"), HasSubstr("\"characters\""));
  EXPECT_THAT(message(R"({"kind": "char", "characters": ["a"]})"), HasSubstr("\"characters\""));
  EXPECT_THAT(message(R"({"kind": "char", "characters": ""})"), HasSubstr("ascending"));
  EXPECT_THAT(message(R"({"kind": "char", "characters": "aa"})"), HasSubstr("ascending"));
  EXPECT_THAT(message(R"({"kind": "char", "characters": "ba"})"), HasSubstr("ascending"));
  const nlohmann::json bytes = {{"kind", "char"}, {"characters", "a\xFF"}};
  EXPECT_THAT(caught([&] { Tokenizer::from_json(bytes); }).what(), HasSubstr("byte 1"));
}

TEST(PartEnd, IsNotWithinACharacter) {
  const auto tokenizer = make_char_tokenizer("aΩ日😀");
  const std::string text = "aΩ日😀";
  for (size_t limit = 1; limit < text.size(); ++limit) {
    const size_t end = tokenizer->part_end(text, limit);
    EXPECT_GE(end, limit);
    EXPECT_LE(end, limit + 3);
    EXPECT_NO_THROW(tokenizer->encode(text.substr(0, end))) << limit;
  }
  EXPECT_EQ(tokenizer->part_end(text, 100), text.size());
}

}  // namespace
}  // namespace fathom
