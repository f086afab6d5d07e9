// nanoGPT's meta.pkl, as Python's pickle writes it (golden/meta_pickle/make.py).
#include "fathom/data/meta_pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "errors.h"
#include "fathom/io/files.h"
#include "source_path.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;

std::string pickled(const std::string& name) {
  return read_text_file(testing::source_path("tests/golden/meta_pickle/" + name + ".pkl"),
                        kMaxMetaPickleBytes);
}

TEST(MetaPickleTest, EveryProtocolSaysTheSame) {
  for (const char* name : {"protocol2", "protocol3", "protocol4", "protocol5"}) {
    MetaPickle meta = read_meta_pickle(pickled(name), name);
    EXPECT_EQ(meta.vocab_size, 10) << name;
    ASSERT_EQ(meta.itos.size(), 10U);
    EXPECT_EQ(meta.itos[0], "\n");
    EXPECT_EQ(meta.itos[9], "é");
    const auto tokenizer = tokenizer_of(meta);
    EXPECT_EQ(tokenizer->kind(), "char");
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("hello")), "hello");
  }
}

TEST(MetaPickleTest, ManyCharactersAndNone) {
  MetaPickle many = read_meta_pickle(pickled("three_hundred"), "x");
  EXPECT_EQ(many.itos.size(), 300U);
  EXPECT_EQ(tokenizer_of(many)->vocab_size(), 300);
  MetaPickle none = read_meta_pickle(pickled("size_alone"), "x");
  EXPECT_EQ(none.vocab_size, 50257);
  EXPECT_EQ(tokenizer_of(none), nullptr);
  EXPECT_EQ(none.without_text, "");
}

// nanoGPT's training reads vocab_size and nothing else.
TEST(MetaPickleTest, OfWhatIsNoListOfCharactersTheSizeIsTaken) {
  for (const auto& [name, size] : std::vector<std::pair<const char*, int64_t>>{
           {"words", 300}, {"list", 10}, {"padded", 64}, {"extras", 10}}) {
    SCOPED_TRACE(name);
    MetaPickle meta = read_meta_pickle(pickled(name), name);
    EXPECT_EQ(meta.vocab_size, size);
    const bool has_text = std::string(name) == "extras";
    EXPECT_EQ(tokenizer_of(meta) != nullptr, has_text);
    EXPECT_EQ(meta.without_text.empty(), has_text);
    EXPECT_EQ(meta.itos.empty(), !has_text);
  }
}

std::string refusal(const std::string& bytes) {
  return caught([&] { read_meta_pickle(bytes, "meta.pkl"); }).what();
}

TEST(MetaPickleTest, NothingElseIsFollowed) {
  // cos\nsystem\n(S'true'\ntR. is what a hostile pickle begins with.
  EXPECT_THAT(refusal("\x80\x02"
                      "cos\nsystem\n."),
              HasSubstr("not 0x63, was expected"));
  EXPECT_THAT(refusal(""), HasSubstr("meta.pkl is empty"));
  EXPECT_THAT(refusal("\x80\x09}."), HasSubstr("a protocol up to 5"));
  EXPECT_THAT(refusal("}}."), HasSubstr("one dictionary"));
  EXPECT_THAT(refusal("}."), HasSubstr("has no vocab_size"));
  EXPECT_THAT(refusal("}. "), HasSubstr("its end"));
  EXPECT_THAT(refusal("u."), HasSubstr("a mark"));
  EXPECT_THAT(refusal("}(K\x01u."), HasSubstr("pairs of a key"));
  EXPECT_THAT(refusal("}K\x01K\x01s."), HasSubstr("has no vocab_size"));
  EXPECT_THAT(refusal("}h\x05."), HasSubstr("what was remembered"));
  EXPECT_THAT(refusal("}X\xff\xff\xff\x7f"
                      "a."),
              HasSubstr("more of it"));
  EXPECT_THAT(refusal("}\x8c\x0avocab_sizeJ\xff\xff\xff\xffs."), HasSubstr("vocab_size = -1"));
  EXPECT_THAT(refusal("}\x8c\x0avocab_size\x8c\x01"
                      "3s."),
              HasSubstr("no whole number"));
  EXPECT_THAT(refusal(pickled("protocol0")), HasSubstr("is of pickle's protocol 0"));
  // What is made of nothing, or of what is not there.
  for (const char* bytes :
       {"a", "]a", "]e", "]K\x01K\x01a.", "}(\x85", "t", "}(K\x01]e.", "\x87", "G1", "C\x05x",
        "}K\x01"
        "a."})
    EXPECT_THAT(refusal(bytes), HasSubstr("was expected")) << bytes;
}

// Of what was cut short anywhere nothing is taken.
TEST(MetaPickleTest, WhatIsCutShortIsRefused) {
  for (const char* name : {"protocol2", "protocol4", "extras"}) {
    const std::string whole = pickled(name);
    for (size_t size = 0; size < whole.size(); ++size)
      EXPECT_NE(refusal(whole.substr(0, size)), "") << name << " " << size;
  }
}

TEST(MetaPickleTest, WholeNumbersOfAnyLength) {
  const auto size = [](const std::string& number) {
    return read_meta_pickle("}\x8c\x0avocab_size" + number + "s.", "x").vocab_size;
  };
  EXPECT_EQ(size(std::string("\x8a\x03\x51\xc4\x00", 5)), 50257);
  EXPECT_THAT(refusal(std::string("}\x8c\x0avocab_size\x8a\x01\xfes.")),
              HasSubstr("vocab_size = -2"));
  EXPECT_THAT(refusal(std::string("}\x8c\x0avocab_size\x8a\x00s.", 17)),
              HasSubstr("vocab_size = 0"));
  EXPECT_THAT(refusal("}\x8c\x0avocab_size\x8a\x09xxxxxxxxxs."), HasSubstr("no whole number"));
}

TEST(MetaPickleTest, CharactersThatContradictThemselvesAreRefused) {
  std::string bytes = pickled("protocol4");
  const size_t at = bytes.find("vocab_size") + 10;
  const size_t size = bytes.find('K', at);
  bytes[size + 1] = 9;
  EXPECT_THAT(refusal(bytes), HasSubstr("10 characters in itos, and vocab_size = 9"));
  bytes[size + 1] = 10;
  bytes[bytes.rfind('K') + 1] = 3;
  EXPECT_THAT(refusal(bytes), HasSubstr("stoi does not say"));
  MetaPickle meta;
  meta.itos = {"b", "a"};
  meta.vocab_size = 2;
  EXPECT_EQ(tokenizer_of(meta), nullptr);
  EXPECT_THAT(meta.without_text, HasSubstr("code points"));
}

}  // namespace
}  // namespace fathom
