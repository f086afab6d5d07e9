// Byte pairs in the files of others, and the merges that follow from a vocabulary.
#include "fathom/data/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "data/data_testing.h"
#include "fathom/data/bpe.h"
#include "fathom/data/gpt2_vocabulary.h"
#include "fathom/data/merges.h"

namespace fathom::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// The 256 bytes in GPT-2's order and these tokens.
BpeVocabulary with_tokens(const std::vector<std::string>& more) {
  BpeVocabulary v = read_bpe_vocabulary("#version: 0.2\n", "x");
  v.tokens.insert(v.tokens.end(), more.begin(), more.end());
  return v;
}

json file_of(const BpeVocabulary& v) {
  return json::parse(tokenizer_json_text(v));
}
std::string refusal(const json& file) {
  return error_of([&] { read_tokenizer_json(file.dump(), "t.json"); });
}
bool same(const BpeVocabulary& a, const BpeVocabulary& b) {
  return a.tokens == b.tokens && a.specials == b.specials;
}

// The plain definition: again and again the listed pair of the lowest rank, from the left.
std::vector<std::string> merged_by_list(const BpeVocabulary& v, const std::string& text) {
  std::map<std::pair<std::string, std::string>, size_t> rank;
  for (const Merge& m : merges_of(v))
    rank.emplace(std::pair(v.tokens[m.left], v.tokens[m.right]), rank.size());
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  for (;;) {
    size_t best = rank.size();
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = rank.find({parts[i], parts[i + 1]});
      if (found != rank.end()) best = std::min(best, found->second);
    }
    if (best == rank.size()) return parts;
    std::vector<std::string> next;
    for (size_t i = 0; i < parts.size(); ++i) {
      const bool pair = i + 1 < parts.size() && rank.count({parts[i], parts[i + 1]}) > 0 &&
                        rank.at({parts[i], parts[i + 1]}) == best;
      next.push_back(pair ? parts[i] + parts[i + 1] : parts[i]);
      i += pair;
    }
    parts = next;
  }
}

TEST(Merges, FollowFromTheOrderOfTheTokens) {
  const BpeVocabulary v = with_tokens({"ab", "bc", "abc", "aa", "aaaa", "aaaaa"});
  std::vector<std::string> shown;
  for (const Merge& m : merges_of(v)) shown.push_back(v.tokens[m.left] + "|" + v.tokens[m.right]);
  EXPECT_THAT(shown, ::testing::ElementsAre("a|b", "b|c", "ab|c", "a|a", "aa|aa", "aaaa|a"));
}

TEST(Merges, AreNotToBeHadOfATokenWithoutParts) {
  EXPECT_THAT(error_of([] { merges_of(with_tokens({"abc"})); }),
              HasSubstr("token 256, \"abc\", is not made of two tokens before it, but of 3"));
}

// A vocabulary in which most strings of few letters come together.
TEST(Merges, AsAListGiveTheSameTokensOfAnyText) {
  std::mt19937 generator(5);
  for (int round = 0; round < 60; ++round) {
    BpeVocabulary v = with_tokens({});
    const size_t letters = 2 + generator() % 2;
    for (int i = 0; i < 60 && v.tokens.size() < 256 + 12; ++i) {
      std::string token;
      for (size_t n = 2 + generator() % 4; n > 0; --n)
        token += static_cast<char>('a' + generator() % letters);
      BpeVocabulary more = v;
      more.tokens.push_back(token);
      try {
        merges_of(more);
        v = more;
      } catch (const Error&) {  // it is there already, or has no two parts
      }
    }
    const auto tokenizer = make_bpe_tokenizer("bpe", v);
    for (int text = 0; text < 5; ++text) {
      std::string word;
      for (size_t n = generator() % 30; n > 0; --n)
        word += static_cast<char>('a' + generator() % letters);
      std::vector<std::string> parts;
      for (const uint32_t id : tokenizer->encode(word)) parts.push_back(v.tokens[id]);
      ASSERT_EQ(parts, merged_by_list(v, word)) << word;
    }
  }
}

TEST(TokenizerJson, ReadsBackAsItWas) {
  BpeVocabulary v = train_bpe("the rain, the rain on the hill \xc3\xa9\xc3\xa9\xc3\xa9", 270);
  EXPECT_TRUE(same(read_tokenizer_json(tokenizer_json_text(v), "x"), v));
  EXPECT_TRUE(same(read_vocab_and_merges(vocab_json_text(v), merges_text(v), "x"), v));
  v.specials = {"<|a|>", "\"quoted\"", "日本"};
  EXPECT_TRUE(same(read_tokenizer_json(tokenizer_json_text(v), "x"), v));
  EXPECT_TRUE(is_tokenizer_json(tokenizer_json_text(v)));
  EXPECT_FALSE(is_tokenizer_json(vocab_json_text(v)));
}

TEST(TokenizerJson, MergesMayBeTextsOrPairs) {
  const BpeVocabulary v = with_tokens({" t", " th"});
  json file = file_of(v);
  ASSERT_EQ(file["model"]["merges"][1], json({"\u0120t", "h"}));
  file["model"]["merges"] = {"\u0120 t", "\u0120t h"};
  EXPECT_TRUE(same(read_tokenizer_json(file.dump(), "x"), v));
  file["model"]["merges"][0] = "\u0120  t";
  EXPECT_THAT(refusal(file), HasSubstr("t.json: merge 0 is not two tokens"));
}

TEST(TokenizerJson, SpecialTokensMayStandBesideTheVocabulary) {
  const BpeVocabulary v = with_tokens({"ab"});
  json file = file_of(v);
  file["model"]["vocab"].erase("<|endoftext|>");
  EXPECT_TRUE(same(read_tokenizer_json(file.dump(), "x"), v));
  file["added_tokens"][0]["id"] = 400;
  EXPECT_THAT(refusal(file), HasSubstr("no token has the id 257"));
  file["added_tokens"][0]["id"] = 256;
  EXPECT_THAT(refusal(file), HasSubstr("the id 256 is that of"));
}

TEST(TokenizerJson, OtherTokenizersAreRefusedByName) {
  const json sound = file_of(with_tokens({"ab", "abc"}));
  const auto refused = [&](const char* pointer, const json& value) {
    json file = sound;
    file[json::json_pointer(pointer)] = value;
    return refusal(file);
  };
  EXPECT_THAT(refused("/model/type", "Unigram"), HasSubstr("model is \"Unigram\", not BPE"));
  EXPECT_THAT(refused("/normalizer", json{{"type", "NFC"}}), HasSubstr("\"normalizer\""));
  EXPECT_THAT(refused("/pre_tokenizer/type", "Metaspace"), HasSubstr("not ByteLevel"));
  EXPECT_THAT(refused("/pre_tokenizer/add_prefix_space", true), HasSubstr("add_prefix_space"));
  EXPECT_THAT(refused("/pre_tokenizer/use_regex", false), HasSubstr("use_regex"));
  EXPECT_THAT(refused("/model/dropout", 0.1), HasSubstr("\"dropout\" is 0.1"));
  EXPECT_THAT(refused("/model/byte_fallback", true), HasSubstr("\"byte_fallback\""));
  EXPECT_THAT(refused("/model/end_of_word_suffix", "</w>"), HasSubstr("\"end_of_word_suffix\""));
  EXPECT_THAT(refused("/model/vocab/ab", -1), HasSubstr("the token \"ab\" has the id -1"));
  EXPECT_THAT(refused("/model/vocab/ab", 70000), HasSubstr("has the id 70000"));
  EXPECT_THAT(refused("/model/merges/0", json{"b", "a"}),
              HasSubstr("merge 0 is \"b\" and \"a\", which is not how"));
  EXPECT_THAT(refused("/model/merges", json::array({{"a", "b"}})),
              HasSubstr("no merge makes the token \"abc\" of id 257"));
  EXPECT_THAT(error_of([] { read_tokenizer_json("[]", "t.json"); }), HasSubstr("no \"model\""));
  EXPECT_THAT(error_of([] { read_tokenizer_json("{", "t.json"); }),
              HasSubstr("t.json is not JSON"));
}

// Where a special token has the first id, as in vocabularies that were trained with one, ours would
// need another order of the model's rows.
TEST(TokenizerJson, SpecialTokensInFrontAreRefused) {
  json file = file_of(with_tokens({"ab"}));
  for (auto& [token, id] : file["model"]["vocab"].items())
    id = token == "<|endoftext|>" ? 0 : id.get<int>() + 1;
  file["added_tokens"][0]["id"] = 0;
  const Error error = caught([&] { read_tokenizer_json(file.dump(), "t.json"); });
  EXPECT_THAT(error.what(), HasSubstr("the special token \"<|endoftext|>\" has the id 0, before"));
  EXPECT_THAT(error.hint(), HasSubstr("behind those of the bytes"));
}

TEST(TokenizerJson, TheBytesAloneAreTheByteTokenizer) {
  const auto bytes = vocabulary_of({{"kind", "byte"}});
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(make_tokenizer_of(read_tokenizer_json(tokenizer_json_text(*bytes), "x"))->kind(),
            "byte");
  EXPECT_EQ(make_tokenizer_of(with_tokens({}))->kind(), "bpe") << "in another order";
  EXPECT_EQ(vocabulary_of({{"kind", "char"}, {"characters", "ab"}}), std::nullopt);
}

// With FATHOM_GPT2_VOCABULARY, a file that --vocabulary takes.
TEST(TokenizerJson, GptTwosIsKnownAsSuch) {
  const char* path = std::getenv("FATHOM_GPT2_VOCABULARY");
  if (path == nullptr) GTEST_SKIP() << "FATHOM_GPT2_VOCABULARY names no file";
  BpeVocabulary v = read_bpe_vocabulary(slurp(path), path);
  EXPECT_TRUE(is_gpt2_vocabulary(v));
  EXPECT_EQ(make_tokenizer_of(read_tokenizer_json(tokenizer_json_text(v), "x"))->kind(), "gpt2");
  std::swap(v.tokens[300], v.tokens[301]);
  EXPECT_FALSE(is_gpt2_vocabulary(v));
}

}  // namespace
}  // namespace fathom::testing
