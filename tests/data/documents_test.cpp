// Documents out of the files that corpora are published in.
#include "fathom/data/documents.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "data/data_testing.h"
#include "fathom/data/document_files.h"
#include "fathom/io/program.h"
#include "source_path.h"

namespace fs = std::filesystem;

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Gather : public DocumentSink {
 public:
  bool begin() override {
    if (documents.size() == most) return false;
    documents.emplace_back();
    return true;
  }
  void text(std::string_view part) override { documents.back() += part; }
  std::vector<std::string> documents;
  size_t most = 1000;
};

class DocumentsTest : public ::testing::Test {
 protected:
  std::vector<std::string> read(const std::string& content, DocumentForm form = {}) {
    spill(temp_ / "file", content);
    return read_file(temp_ / "file", form);
  }
  static std::vector<std::string> read_file(const std::string& path, DocumentForm form = {}) {
    Gather gather;
    read_documents(path, form, gather);
    return gather.documents;
  }
  std::string refusal(const std::string& content) {
    return caught([&] { read(content); }).what();
  }

  TempFolder temp_;
};

TEST_F(DocumentsTest, JsonLinesHaveADocumentEach) {
  EXPECT_THAT(
      read("{\"text\": \"one\\ntwo\", \"url\": 3}\n\n{\"text\":\"three\"}\n{\"text\":\"\"}"),
      ElementsAre("one\ntwo", "three"));
}

TEST_F(DocumentsTest, TitlesStandBeforeTheText) {
  const std::string rows =
      "{\"title\": \"Rain\", \"text\": \"falls\"}\n{\"title\": null, \"text\": \"no title\"}\n";
  DocumentForm form;
  form.titled = true;
  EXPECT_THAT(read(rows, form), ElementsAre("Title: Rain\nfalls", "no title"));
  EXPECT_THAT(read(rows), ElementsAre("falls", "no title"));
}

TEST_F(DocumentsTest, RowsThatAreNoDocumentsAreNamedByTheirLine) {
  EXPECT_THAT(refusal("{\"text\":\"a\"}\n{\"txet\":\"b\"}\n"),
              HasSubstr("file: line 2 is not an object with a \"text\""));
  EXPECT_THAT(refusal("{\"text\":\"a\"}\n\n{\"text\":"), HasSubstr("file: line 3 is not JSON"));
  EXPECT_THAT(refusal("{\"text\":[\"a\"]}\n"), HasSubstr("\"text\" is a list, not a text"));
}

// They would be trained on as prose.
TEST_F(DocumentsTest, JsonOfAnotherFormIsRefused) {
  EXPECT_THAT(refusal("[{\"text\": \"a\"}]\n"), HasSubstr("is one JSON list, not JSON lines"));
  EXPECT_THAT(refusal("[\n  {\n    \"text\": \"a\"\n  }\n]\n"), HasSubstr("is one JSON list"));
  EXPECT_THAT(refusal("{\n  \"text\": \"a\"\n}\n"), HasSubstr("line 1 is not JSON"));
  for (const char* name : {"rows.jsonl", "rows.ndjson", "rows.jsonl.gz"}) {
    spill(temp_ / name, "not a row\n{\"text\": \"a\"}\n");
    EXPECT_THAT(caught([&] { read_file(temp_ / name); }).what(), HasSubstr("line 1 is not JSON"));
  }
  EXPECT_THAT(read("[a text]"), ElementsAre("[a text]"));
}

TEST_F(DocumentsTest, ARowHasALimit) {
  const std::string within = "{\"text\":\"" + std::string(1 << 20, 'a') + "\"}\n";
  EXPECT_EQ(read(within).size(), 1u);
  EXPECT_THAT(refusal(within + "{\"text\":\"a\",\"rest\":[" + std::string(17 << 20, ' ') + "]}\n"),
              HasSubstr("line 2 has more than 16777216 bytes"));
}

TEST_F(DocumentsTest, ATextIsOneDocument) {
  const std::string text(3 << 20, 'a');
  EXPECT_THAT(read(text), ElementsAre(text));
  EXPECT_THAT(read(""), IsEmpty());
  EXPECT_THAT(read("{ not JSON, but a text }"), ElementsAre("{ not JSON, but a text }"));
  EXPECT_THAT(refusal(std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16)), HasSubstr("is a PNG"));
}

TEST_F(DocumentsTest, PackedFilesAreUnpackedByTheirContent) {
  spill(temp_ / "rows", "{\"text\":\"one\"}\n{\"text\":\"two\"}\n");
  for (const char* packer : {"gzip", "xz", "bzip2", "zstd"}) {
    if (std::system((std::string("command -v ") + packer + " >/dev/null").c_str()) != 0) continue;
    const std::string line =
        std::string(packer) + " -c " + (temp_ / "rows") + " > " + (temp_ / "packed");
    ASSERT_EQ(std::system(line.c_str()), 0);
    EXPECT_THAT(read_file(temp_ / "packed"), ElementsAre("one", "two")) << packer;
  }
  const std::string packed = slurp(temp_ / "packed");
  spill(temp_ / "packed", packed.substr(0, packed.size() - 5));
  EXPECT_THAT(caught([&] { read_file(temp_ / "packed"); }).what(),
              HasSubstr("failed with exit code"));
}

TEST_F(DocumentsTest, AMissingProgramSaysWhatToInstall) {
  spill(temp_ / "packed", std::string("\x28\xb5\x2f\xfd", 4) + "more");
  const ScopedVariable path("PATH", temp_ / "nothing");
  const Error error = caught([&] { read_file(temp_ / "packed"); });
  EXPECT_THAT(error.what(), HasSubstr("cannot start the program `zstd`"));
  EXPECT_EQ(error.hint(), "apt install zstd");
}

TEST_F(DocumentsTest, ReadingNoFurtherEndsTheProgram) {
  std::string rows;
  for (int i = 0; i < 200'000; ++i) rows += "{\"text\":\"many\"}\n";
  spill(temp_ / "rows", rows);
  ASSERT_EQ(std::system(("gzip -1 " + (temp_ / "rows")).c_str()), 0);
  Gather gather;
  gather.most = 3;
  EXPECT_FALSE(read_documents(temp_ / "rows.gz", {}, gather));
  EXPECT_EQ(gather.documents.size(), 3u);
}

// openwebtext.tar.xz: an archive of .xz files, which are archives of texts.
TEST_F(DocumentsTest, ArchivesInArchivesAreOpenwebtexts) {
  fs::create_directories(temp_ / "openwebtext");
  const std::string here = "cd " + temp_.path() + " && ";
  for (const char* subset : {"00-1", "00-2"}) {
    spill(temp_ / "a.txt", std::string("  first of ") + subset + "\n\n\n\n\nend\n");
    const std::string long_name(120, 'n');
    spill(temp_ / (long_name + ".txt"), std::string("second of ") + subset);
    spill(temp_ / "notes.md", "of those who made it");
    ASSERT_EQ(std::system((here + "tar -cf data.tar a.txt " + long_name + ".txt notes.md && " +
                           "xz -c data.tar > openwebtext/urlsf_subset" + subset + "_data.xz")
                              .c_str()),
              0);
  }
  ASSERT_EQ(std::system((here + "tar --sort=name -cJf openwebtext.tar.xz openwebtext").c_str()), 0);
  DocumentForm form;
  form.tidy = true;
  EXPECT_THAT(read_file(temp_ / "openwebtext.tar.xz", form),
              ElementsAre("first of 00-1\n\nend", "second of 00-1", "first of 00-2\n\nend",
                          "second of 00-2"));
  EXPECT_THAT(read_file(temp_ / "openwebtext/urlsf_subset00-2_data.xz"),
              ElementsAre("  first of 00-2\n\n\n\n\nend\n", "second of 00-2"));
}

TEST_F(DocumentsTest, PaxNamesOfAnyLengthAreRead) {
  const std::string name = std::string(150, 'n') + ".txt";
  spill(temp_ / name, "a text");
  spill(temp_ / "b.txt", "another");
  ASSERT_EQ(
      std::system(
          ("cd " + temp_.path() + " && tar --format=pax -cf a.tar " + name + " b.txt").c_str()),
      0);
  EXPECT_THAT(read_file(temp_ / "a.tar"), ElementsAre("a text", "another"));
  std::string wrong = slurp(temp_ / "a.tar");
  const size_t at = wrong.find(" path=");
  ASSERT_NE(at, wrong.npos);
  wrong[at - 1] = 'x';
  EXPECT_THAT(refusal(wrong), HasSubstr("a pax header has an attribute that is none"));
}

TEST_F(DocumentsTest, ArchivesWithoutTextsAreRefused) {
  spill(temp_ / "rows.jsonl", "{\"text\":\"one\"}\n");
  ASSERT_EQ(std::system(("cd " + temp_.path() + " && tar -cf a.tar rows.jsonl").c_str()), 0);
  EXPECT_THAT(caught([&] { read_file(temp_ / "a.tar"); }).what(),
              HasSubstr("holds no .txt file, but others such as \"rows.jsonl\""));
}

TEST_F(DocumentsTest, DamagedArchivesAreRefused) {
  spill(temp_ / "a.txt", "a text");
  ASSERT_EQ(std::system(("cd " + temp_.path() + " && tar -cf a.tar a.txt").c_str()), 0);
  const std::string sound = slurp(temp_ / "a.tar");
  EXPECT_THAT(read(sound), ElementsAre("a text"));
  std::string wrong = sound;
  wrong[3] ^= 1;
  EXPECT_THAT(refusal(wrong), HasSubstr("checksum is wrong"));
  EXPECT_THAT(refusal(sound.substr(0, 700)), HasSubstr("ends in the middle"));
}

TEST_F(DocumentsTest, TidyTextsHaveNoWideGaps) {
  EXPECT_EQ(tidied("\n\n a\n\n\n\nb\nc\n\nd \n"), "a\n\nb\nc\n\nd");
  EXPECT_EQ(tidied(" \n "), "");
}

TEST_F(DocumentsTest, ParquetRowsAreDocuments) {
  const std::string path = source_path("tests/golden/parquet/rain.parquet");
  DocumentForm form;
  form.titled = true;
  try {
    EXPECT_THAT(read_file(path, form),
                ElementsAre("Title: Rain\nthe rain falls", "on the hill\nand \"on\"",
                            "Title: River\n日本 and the river", "it rises"));
  } catch (const Error& error) {
    // Neither comes with the system.
    EXPECT_THAT(error.hint(), HasSubstr("npm install hyparquet"));
    GTEST_SKIP() << error.what();
  }
  spill(temp_ / "cut", slurp(path).substr(0, 300));
  EXPECT_THAT(caught([&] { read_file(temp_ / "cut"); }).what(),
              HasSubstr("`node` failed with exit code 1"));
}

// The program around hyparquet, with a stand-in for that.
TEST_F(DocumentsTest, ParquetIsReadGroupByGroup) {
  if (find_program("node").empty()) GTEST_SKIP() << "node is not installed";
  const ScopedVariable modules("FATHOM_NODE_MODULES", source_path("tests/golden/node"));
  DocumentForm form;
  form.titled = true;
  EXPECT_THAT(
      read(R"(PAR1{"columns": ["id", "text", "title"], "groups": [)"
           R"([[1, "falls", "Rain"], [2, "on \"the\" hill", null]], [], [[3, "rises", "日本"]])"
           R"(]}PAR1)",
           form),
      ElementsAre("Title: Rain\nfalls", "on \"the\" hill", "Title: 日本\nrises"));
  EXPECT_THAT(refusal(R"(PAR1{"columns": ["id", "txet"], "groups": [[[1, "a"]]]}PAR1)"),
              HasSubstr("it has no column text, only id, txet"));
  EXPECT_THAT(refusal("PAR1 and no metadata"), HasSubstr("`node` failed with exit code 1"));
  std::string many = R"(PAR1{"columns": ["text"], "groups": [)";  // more than a pipe holds
  for (int i = 0; i < 3000; ++i)
    many += (i == 0 ? "[" : i % 1000 == 0 ? "],[" : ",") + ("[\"" + std::string(99, 'a') + "\"]");
  Gather gather;
  gather.most = 2500;
  spill(temp_ / "many", many + "]]}PAR1");
  EXPECT_FALSE(read_documents(temp_ / "many", {}, gather));
  EXPECT_EQ(gather.documents.size(), 2500u);
}

TEST_F(DocumentsTest, WithoutHyparquetItSaysWhatToInstall) {
  const ScopedVariable path("PATH", temp_ / "nothing");
  spill(temp_ / "rows", "PAR1 and more");
  const Error error = caught([&] { read_file(temp_ / "rows"); });
  EXPECT_THAT(error.what(), HasSubstr("cannot start the program `node`"));
  EXPECT_THAT(error.hint(), HasSubstr("npm install hyparquet"));
}

TEST(DocumentFiles, AreOfASplitByTheirNames) {
  EXPECT_EQ(split_of_name("wikitext-103/wiki.train.tokens"), "train");
  EXPECT_EQ(split_of_name("/train/wiki.valid.raw"), "val");
  EXPECT_EQ(split_of_name("validation-00000-of-00001.parquet"), "val");
  EXPECT_EQ(split_of_name("wiki.test.tokens"), "test");
  EXPECT_EQ(split_of_name("articles.jsonl"), "");
}

}  // namespace
}  // namespace fathom::testing
