// Byte pairs: GPT-2's pieces, merges against the plain definition, training, and the files of
// others.
#include "fathom/data/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "data/data_testing.h"
#include "fathom/data/gpt2_vocabulary.h"
#include "fathom/data/shard.h"
#include "fathom/data/text_scan.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Pieces = std::vector<std::string>;

Pieces pieces(const std::string& text) {
  Pieces all;
  for_each_piece(text, [&](std::string_view piece) { all.emplace_back(piece); });
  return all;
}

// Texts with letters, spaces of every kind, digits, signs and bytes that are none.
std::string any_text(std::mt19937& generator, size_t length) {
  static const Pieces kParts = {"a",  "b",      "e",      "th", " ", " ",    "\n",  "  ", "\t",
                                "'s", "'",      "7",      "12", ".", "!?",   "Ω",   "日", "\u00a0",
                                "ab", "\u2003", "\u180e", "ñ",  "-", "\xff", "\xc3"};
  std::string text;
  while (text.size() < length) text += kParts[generator() % kParts.size()];
  return text;
}

TEST(BpePieces, AreGpt2s) {
  EXPECT_THAT(pieces("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(pieces("it's we've I'LL"), ElementsAre("it", "'s", " we", "'ve", " I", "'", "LL"));
  EXPECT_THAT(pieces("a  b"), ElementsAre("a", " ", " b"));
  EXPECT_THAT(pieces("a \n\n b\n"), ElementsAre("a", " \n\n", " b", "\n"));
  EXPECT_THAT(pieces("end  "), ElementsAre("end", "  "));
  EXPECT_THAT(pieces("x=10²!?"), ElementsAre("x", "=", "10²", "!?"));
  EXPECT_THAT(pieces(" Ωmega 日本 3½"), ElementsAre(" Ωmega", " 日本", " 3½"));
  EXPECT_THAT(pieces("a\u00a0b"), ElementsAre("a", "\u00a0", "b")) << "a no-break space is a space";
  EXPECT_THAT(pieces("a\u180eb"), ElementsAre("a", "\u180e", "b"));
  EXPECT_THAT(pieces(" \u180e"), ElementsAre(" \u180e")) << "U+180E is none: it takes the space";
  EXPECT_THAT(pieces(""), ElementsAre());
  EXPECT_THAT(pieces("a\xff\xfe b"), ElementsAre("a", "\xff\xfe", " b"));
  EXPECT_THAT(pieces("\xc3"), ElementsAre("\xc3"));
}

// Letters of one and of two bytes, spaces, and bytes that are no characters.
TEST(BpePieces, OfAnyTextHaveAnEnd) {
  for (const std::string unit : {"a", "é", " ", "\xff", "日", "\u00a0"}) {
    std::string text = "x";
    while (text.size() < 2 * kMaxPieceBytes + 7) text += unit;
    text += " end";
    std::string joined;
    for (const std::string& piece : pieces(text)) {
      EXPECT_LE(piece.size(), kMaxPieceBytes);
      if (unit != "\xff") {
        EXPECT_EQ(scan_text(piece).invalid_at, std::nullopt) << unit;
      }
      joined += piece;
    }
    EXPECT_TRUE(joined == text) << unit;
  }
}

// So that a text can be read from the end of any piece on.
RC_GTEST_PROP(BpePieces, DependOnNothingBeforeThem, ()) {
  std::mt19937 generator(*rc::gen::arbitrary<uint32_t>());
  const std::string text = any_text(generator, 40);
  const Pieces whole = pieces(text);
  size_t at = 0;
  for (auto piece = whole.begin(); piece != whole.end(); at += piece++->size())
    RC_ASSERT(pieces(text.substr(at)) == Pieces(piece, whole.end()));
}

RC_GTEST_PROP(BpePieces, LeaveNoGap, (const std::string& text)) {
  std::string joined;
  for (const std::string& piece : pieces(text)) joined += piece;
  RC_ASSERT(joined == text);
}

// The definition: of all neighbours the pair with the lowest id is merged, the first of equal ones.
std::vector<uint32_t> plainly_encoded(const BpeVocabulary& vocabulary, const std::string& text) {
  std::map<std::string, uint32_t> id_of;
  for (uint32_t id = 0; id < vocabulary.tokens.size(); ++id) id_of[vocabulary.tokens[id]] = id;
  std::vector<uint32_t> ids;
  for (const std::string& piece : pieces(text)) {
    Pieces parts;
    for (const char c : piece) parts.emplace_back(1, c);
    for (;;) {
      uint32_t lowest = ~0U;
      size_t at = 0;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto found = id_of.find(parts[i] + parts[i + 1]);
        if (found != id_of.end() && found->second < lowest) lowest = found->second, at = i;
      }
      if (lowest == ~0U) break;
      parts[at] += parts[at + 1];
      parts.erase(parts.begin() + int64_t(at) + 1);
    }
    for (const std::string& part : parts) ids.push_back(id_of.at(part));
  }
  return ids;
}

BpeVocabulary some_vocabulary(int64_t size = 500) {
  std::mt19937 generator(1);
  return train_bpe(any_text(generator, 20'000), size);
}

TEST(Bpe, MergesAsDefined) {
  const BpeVocabulary vocabulary = some_vocabulary();
  const auto tokenizer = make_bpe_tokenizer("bpe", vocabulary);
  std::mt19937 generator(2);
  for (int i = 0; i < 300; ++i) {
    const std::string text = any_text(generator, generator() % 200);
    ASSERT_EQ(tokenizer->encode(text), plainly_encoded(vocabulary, text)) << text;
  }
  // Pieces around the length from which on a heap is used, and far above it.
  for (const size_t length : {62, 63, 64, 65, 66, 200, 3000})
    for (int i = 0; i < 5; ++i) {
      std::string text;
      while (text.size() < length) text += "abeth"[generator() % 5];
      ASSERT_EQ(tokenizer->encode(text), plainly_encoded(vocabulary, text)) << length;
    }
}

// All ids of 16 bits are tokens, the last one too.
TEST(Bpe, TheLargestVocabularyHasItsLastToken) {
  BpeVocabulary v;
  for (int b = 0; b < 256; ++b) v.tokens.emplace_back(1, char(b));
  for (int i = 0; v.tokens.size() < kShardIdLimit; ++i)  // no two letters among them
    v.tokens.push_back({char('a' + i % 26), char(128 + i / 26 % 128), char(128 + i / 3328)});
  v.tokens[65534] = "xy", v.tokens[65535] = "xyz";
  const auto tokenizer = make_bpe_tokenizer("bpe", v);
  EXPECT_THAT(tokenizer->encode("xyz"), ElementsAre(65535));
  v.tokens.pop_back();
  EXPECT_THAT(make_bpe_tokenizer("bpe", v)->encode("xyz"), ElementsAre(65534, 'z'));
}

TEST(Bpe, AMegabyteOfOneLetterIsNoTrap) {
  const auto tokenizer = make_bpe_tokenizer("bpe", some_vocabulary());
  const std::string text(1 << 20, 'a');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(Bpe, TokensOfOneLetterStayShort) {
  const std::string text(1 << 15, 'a');
  const auto tokenizer = make_bpe_tokenizer("bpe", train_bpe(text, 300));
  EXPECT_EQ(tokenizer->encode(text).size(), text.size() / kMaxTokenBytes);
}

TEST(Bpe, DecodesWhatItEncodes) {
  const auto tokenizer = make_bpe_tokenizer("bpe", some_vocabulary());
  std::mt19937 generator(3);
  for (int i = 0; i < 10'000; ++i) {
    std::string bytes(generator() % 60, '\0');
    for (char& c : bytes) c = static_cast<char>(generator());
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes);
  }
  EXPECT_EQ(tokenizer->decode(std::vector<uint32_t>{uint32_t(tokenizer->vocab_size()) - 1}),
            "<|endoftext|>");
  EXPECT_THAT(tokenizer->encode("<|endoftext|>"), ::testing::Not(::testing::SizeIs(1)))
      << "text never becomes a special token";
  EXPECT_THAT(caught([&] {
                tokenizer->decode(std::vector<uint32_t>{uint32_t(tokenizer->vocab_size())});
              }).what(),
              HasSubstr("outside the vocabulary"));
}

TEST(Bpe, PartsEncodeAsTheWhole) {
  const auto tokenizer = make_bpe_tokenizer("bpe", some_vocabulary());
  std::mt19937 generator(4);
  for (int i = 0; i < 200; ++i) {
    const std::string text = any_text(generator, 400);
    std::vector<uint32_t> ids;
    std::string_view rest = text;
    while (!rest.empty()) {
      const size_t end = tokenizer->part_end(rest, 1 + generator() % 50);
      ASSERT_GT(end, 0U);
      ASSERT_LE(end, rest.size());
      const auto part = tokenizer->encode(rest.substr(0, end));
      ids.insert(ids.end(), part.begin(), part.end());
      rest.remove_prefix(end);
    }
    ASSERT_EQ(ids, tokenizer->encode(text));
  }
}

// Neither of a text without spaces: what is encoded at once has an end.
TEST(Bpe, PartsOfATextWithoutSpacesAreParts) {
  const auto tokenizer = make_bpe_tokenizer("bpe", some_vocabulary());
  std::mt19937 generator(6);
  std::string one_letter(3 * kMaxPieceBytes / 2, 'a'), few_letters, chinese, no_characters;
  while (few_letters.size() < one_letter.size()) few_letters += "abeth"[generator() % 5];
  while (chinese.size() < one_letter.size()) chinese += generator() % 30 == 0 ? "，" : "日";
  no_characters.assign(one_letter.size(), '\xff');
  for (const std::string& text : {one_letter, few_letters, chinese, no_characters}) {
    std::vector<uint32_t> ids;
    std::string_view rest = text;
    while (!rest.empty()) {
      const size_t end = tokenizer->part_end(rest, kMaxPieceBytes / 4);
      ASSERT_GT(end, 0U);
      ASSERT_LE(end, 5 * kMaxPieceBytes / 4);
      const auto part = tokenizer->encode(rest.substr(0, end));
      ids.insert(ids.end(), part.begin(), part.end());
      rest.remove_prefix(end);
    }
    ASSERT_TRUE(ids == tokenizer->encode(text)) << text.substr(0, 10);
  }
}

TEST(BpeVocabularyJson, ComesBack) {
  const BpeVocabulary v = some_vocabulary();
  const auto tokenizer = make_bpe_tokenizer("bpe", v);
  const auto json = nlohmann::json::parse(tokenizer->to_json().dump());
  const auto again = Tokenizer::from_json(json);
  EXPECT_EQ(again->kind(), "bpe");
  EXPECT_EQ(again->to_json(), json);
  EXPECT_EQ(again->encode("the tables"), tokenizer->encode("the tables"));
}

TEST(BpeVocabularyJson, RefusesWhatIsNone) {
  const nlohmann::json good = make_bpe_tokenizer("bpe", some_vocabulary())->to_json();
  const auto refused = [&](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json j = good;
    change(j);
    return std::string(caught([&] { Tokenizer::from_json(j); }).what());
  };
  EXPECT_THAT(refused([](auto& j) { j.erase("tokens"); }), HasSubstr("\"tokens\""));
  EXPECT_THAT(refused([](auto& j) { j["tokens"] = 7; }), HasSubstr("\"tokens\""));
  EXPECT_THAT(refused([](auto& j) { j["specials"] = {1}; }), HasSubstr("special"));
  EXPECT_THAT(refused([](auto& j) { j["tokens"] = "AA== !!"; }), HasSubstr("token 1"));
  EXPECT_THAT(refused([](auto& j) { j["tokens"] = "AA=="; }), HasSubstr("1 of 256 single bytes"));
  EXPECT_THAT(refused([&](auto& j) { j["tokens"] = good["tokens"].get<std::string>() + " AA=="; }),
              HasSubstr("is there twice"));
  std::string many = good["tokens"];
  for (int i = 0; i < 66'000; ++i) many += " AAAA";
  EXPECT_THAT(refused([&](auto& j) { j["tokens"] = many; }), HasSubstr("one too many"));
}

// GPT-2's symbols of bytes: printable ones stand for themselves, a space is Ġ, a line break Ċ.
TEST(BpeFiles, MergesAreReadWithGpt2sIds) {
  const BpeVocabulary v = read_bpe_vocabulary("#version: 0.2\nĠ t\nh e\nĠt he\r\nĊ Ċ\n", "f");
  ASSERT_EQ(v.tokens.size(), 256U + 4);
  EXPECT_EQ(v.tokens[0], "!");
  EXPECT_EQ(v.tokens[64], "a");
  EXPECT_EQ(v.tokens[188], std::string(1, '\0'));
  EXPECT_EQ(v.tokens[220], " ");
  EXPECT_EQ(v.tokens[256], " t");
  EXPECT_EQ(v.tokens[258], " the");
  EXPECT_EQ(v.tokens[259], "\n\n");
  EXPECT_EQ(v.specials, Pieces{"<|endoftext|>"});
  const BpeVocabulary headless = read_bpe_vocabulary("Ġ t\r\nh e\nĠt he\nĊ Ċ\n", "f");
  EXPECT_EQ(headless.tokens, v.tokens) << "the first line may be missing";
  EXPECT_EQ(headless.specials, v.specials);
  const auto error = [](const std::string& text) {
    return std::string(caught([&] { read_bpe_vocabulary(text, "f"); }).what());
  };
  EXPECT_THAT(error("Ġ t\nx\n"), HasSubstr("f: line 2"));
  EXPECT_THAT(error("ab c\n"), HasSubstr("f: line 1 does not begin with base64"))
      << "no first merge: it would be of two single bytes";
  EXPECT_THAT(error("#version: 0.2\nĠ t\nx\n"), HasSubstr("f: line 3"));
  EXPECT_THAT(error("#version: 0.2\nĠ\xff t\n"), HasSubstr("stands for no byte"));
  EXPECT_THAT(error("#version: 0.2\na b\na b\n"), HasSubstr("is there twice"));
  EXPECT_THAT(error(" \n"), HasSubstr("f is empty"));
}

std::string rank_lines(const BpeVocabulary& v) {
  std::istringstream words(to_json(v)["tokens"].get<std::string>());
  std::string out, word;
  for (size_t rank = 0; words >> word; ++rank) out += word + " " + std::to_string(rank) + "\n";
  return out;
}

TEST(BpeFiles, TheEndOfATextIsNoByteOfIt) {
  const BpeVocabulary v = some_vocabulary(300);
  const auto tokenizer = make_bpe_tokenizer("bpe", v);
  ASSERT_TRUE(tokenizer->end_of_text());
  const std::vector<int64_t> bytes = bytes_by_id(*tokenizer);
  ASSERT_EQ(bytes.size(), v.size());
  EXPECT_EQ(bytes[*tokenizer->end_of_text()], 0);
  for (size_t id = 0; id < v.tokens.size(); ++id)
    EXPECT_EQ(bytes[id], static_cast<int64_t>(v.tokens[id].size()));
}

TEST(BpeFiles, RanksAndThePackageAreRead) {
  const BpeVocabulary v = some_vocabulary(300);
  EXPECT_EQ(read_bpe_vocabulary(rank_lines(v), "f").tokens, v.tokens);
  const std::string words = to_json(v)["tokens"];
  nlohmann::json package = {{"bpe_ranks", "! 0 " + words},
                            {"special_tokens", {{"<|endoftext|>", 299}}}};
  const BpeVocabulary read = read_bpe_vocabulary(package.dump(), "f");
  EXPECT_EQ(read.tokens, v.tokens);
  EXPECT_EQ(read.specials, v.specials);
  const auto error = [](const std::string& text) {
    return std::string(caught([&] { read_bpe_vocabulary(text, "f"); }).what());
  };
  EXPECT_THAT(error("AA== 1\n"), HasSubstr("line 1 is not of rank 0"));
  EXPECT_THAT(error("AA== 0\nxyz 1\n"), HasSubstr("line 2"));
  EXPECT_THAT(error("{}"), HasSubstr("bpe_ranks"));
  package["special_tokens"] = {{"<|endoftext|>", 400}};
  EXPECT_THAT(error(package.dump()), HasSubstr("has the id 400"));
  package["bpe_ranks"] = "! 7 " + words;
  EXPECT_THAT(error(package.dump()), HasSubstr("go on at rank 0"));
}

class Gpt2Vocabulary : public DataTest {
 protected:
  // As many tokens as GPT-2's, made up.
  static BpeVocabulary made_up() {
    BpeVocabulary v;
    for (int b = 0; b < 256; ++b) v.tokens.emplace_back(1, char(b));
    for (int i = 0; v.tokens.size() < 50256; ++i)
      v.tokens.push_back({char(i / 65536), char(i / 256 % 256), char(i % 256)});
    v.specials = {"<|endoftext|>"};
    return v;
  }
};

TEST_F(Gpt2Vocabulary, TheKeptOneIsTakenAndNoOtherReplacesIt) {
  std::filesystem::create_directories(temp_ / "data/tokenizers");
  spill(temp_ / "data/tokenizers/gpt2.json", to_json(made_up()).dump());
  EXPECT_EQ(load_gpt2_vocabulary("", {}).tokens, made_up().tokens);
  BpeVocabulary other = made_up();
  std::swap(other.tokens[1000], other.tokens[1001]);
  spill(temp_ / "ranks", rank_lines(other));
  const Error error = caught([&] { load_gpt2_vocabulary(temp_ / "ranks", {}); });
  EXPECT_THAT(error.what(), HasSubstr("has as many tokens as GPT-2, but others"));
  EXPECT_EQ(error.hint(), "--tokenizer=bpe takes it");
  EXPECT_EQ(load_gpt2_vocabulary("", {}).tokens, made_up().tokens);
  spill(temp_ / "few", rank_lines(some_vocabulary(300)));
  EXPECT_THAT(caught([&] { load_gpt2_vocabulary(temp_ / "few", {}); }).what(),
              HasSubstr("has 300 tokens, GPT-2 has 50257"));
  spill(temp_ / "data/tokenizers/gpt2.json", "{");
  EXPECT_THAT(caught([&] { load_gpt2_vocabulary("", {}); }).what(), HasSubstr("gpt2.json"));
}

// With the true vocabulary at hand: FATHOM_GPT2_VOCABULARY names it. FATHOM_TIKTOKEN_CASES, made by
// tests/scripts/tiktoken_cases.mjs, holds texts and the ids that another implementation gives.
TEST(Gpt2, GivesTheIdsOfOthers) {
  const char* file = std::getenv("FATHOM_GPT2_VOCABULARY");
  if (file == nullptr) GTEST_SKIP() << "FATHOM_GPT2_VOCABULARY names no file";
  const TempFolder temp;
  const ScopedVariable root("FATHOM_DATA", temp / "data");
  load_gpt2_vocabulary(file, {});
  const auto tokenizer = make_bpe_tokenizer("gpt2", load_gpt2_vocabulary("", {}));  // as kept
  EXPECT_EQ(tokenizer->vocab_size(), 50257);
  EXPECT_THAT(tokenizer->encode("Hello world"), ElementsAre(15496, 995));
  const char* cases = std::getenv("FATHOM_TIKTOKEN_CASES");
  if (cases == nullptr) return;
  std::ifstream lines(cases);
  int64_t compared = 0;
  for (std::string line; std::getline(lines, line); ++compared) {
    const auto j = nlohmann::json::parse(line);
    const std::string text = j["text"];
    ASSERT_EQ(tokenizer->encode(text), j["ids"].get<std::vector<uint32_t>>()) << line;
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
  std::printf("%ld texts compared\n", static_cast<long>(compared));
  EXPECT_GT(compared, 0);
}

}  // namespace
}  // namespace fathom::testing
