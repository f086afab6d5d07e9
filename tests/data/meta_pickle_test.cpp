// nanoGPT's meta.pkl, as Python's pickle writes it (golden/meta_pickle/make.py).
#include "fathom/data/meta_pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "errors.h"
#include "fathom/io/files.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;

std::string pickled(const std::string& name) {
  return read_text_file(
      std::string(FATHOM_SOURCE_DIR) + "/tests/golden/meta_pickle/" + name + ".pkl",
      kMaxMetaPickleBytes);
}

TEST(MetaPickleTest, EveryProtocolSaysTheSame) {
  for (const char* name : {"protocol2", "protocol3", "protocol4", "protocol5"}) {
    const MetaPickle meta = read_meta_pickle(pickled(name), name);
    EXPECT_EQ(meta.vocab_size, 10) << name;
    ASSERT_EQ(meta.itos.size(), 10U);
    EXPECT_EQ(meta.itos[0], "\n");
    EXPECT_EQ(meta.itos[9], "é");
    const auto tokenizer = tokenizer_of(meta, name);
    EXPECT_EQ(tokenizer->kind(), "char");
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("hello")), "hello");
  }
}

TEST(MetaPickleTest, ManyCharactersAndNone) {
  const MetaPickle many = read_meta_pickle(pickled("three_hundred"), "x");
  EXPECT_EQ(many.itos.size(), 300U);
  EXPECT_EQ(tokenizer_of(many, "x")->vocab_size(), 300);
  const MetaPickle none = read_meta_pickle(pickled("size_alone"), "x");
  EXPECT_EQ(none.vocab_size, 50257);
  EXPECT_EQ(tokenizer_of(none, "x"), nullptr);
}

std::string refusal(const std::string& bytes) {
  return caught([&] { read_meta_pickle(bytes, "meta.pkl"); }).what();
}

TEST(MetaPickleTest, NothingElseIsFollowed) {
  // cos\nsystem\n(S'true'\ntR. is what a hostile pickle begins with.
  EXPECT_THAT(refusal("\x80\x02"
                      "cos\nsystem\n."),
              HasSubstr("not 0x63, was expected"));
  EXPECT_THAT(refusal(""), HasSubstr("more of it"));
  EXPECT_THAT(refusal("\x80\x09}."), HasSubstr("a protocol up to 5"));
  EXPECT_THAT(refusal("}}."), HasSubstr("one dictionary"));
  EXPECT_THAT(refusal("}."), HasSubstr("a vocab_size from 1"));
  EXPECT_THAT(refusal("}. "), HasSubstr("its end"));
  EXPECT_THAT(refusal("u."), HasSubstr("a mark"));
  EXPECT_THAT(refusal("}(K\x01u."), HasSubstr("pairs of a key"));
  EXPECT_THAT(refusal("}K\x01K\x01s."), HasSubstr("keys that are texts"));
  EXPECT_THAT(refusal("}h\x05."), HasSubstr("what was remembered"));
  EXPECT_THAT(refusal("}X\xff\xff\xff\x7f"
                      "a."),
              HasSubstr("more of a text"));
  EXPECT_THAT(refusal("}\x8c\x0avocab_sizeJ\xff\xff\xff\xffs."), HasSubstr("a vocab_size from 1"));
  EXPECT_THAT(refusal("}\x8c\x0avocab_size\x8c\x01"
                      "3s."),
              HasSubstr("of another type"));
}

TEST(MetaPickleTest, CharactersThatContradictThemselvesAreRefused) {
  std::string bytes = pickled("protocol4");
  const size_t at = bytes.find("vocab_size") + 10;
  const size_t size = bytes.find('K', at);
  bytes[size + 1] = 9;
  EXPECT_THAT(refusal(bytes), HasSubstr("as many characters"));
  bytes[size + 1] = 10;
  bytes[bytes.rfind('K') + 1] = 3;
  EXPECT_THAT(refusal(bytes), HasSubstr("a stoi that says"));
  MetaPickle meta;
  meta.itos = {"b", "a"};
  meta.vocab_size = 2;
  EXPECT_THAT(caught([&] { tokenizer_of(meta, "meta.pkl"); }).what(), HasSubstr("code points"));
}

}  // namespace
}  // namespace fathom
