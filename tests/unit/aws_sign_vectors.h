/*
 * AWS's published examples of Signature Version 4, as data. Where each comes from:
 *
 *   service "service"   aws-signing-test-suite/v4 in github.com/awslabs/aws-c-auth, the header form
 *                       (header-signed-request.txt); get-vanilla-query-order-key and -value from
 * the aws-sig-v4-test-suite.zip of the AWS General Reference, which came before it service "s3"
 * docs.aws.amazon.com, Amazon S3 API Reference, "Signature Calculations for the Authorization
 * Header: Transferring Payload in a Single Chunk", its examples
 *
 * Left out are the six of the suite that want the path normalised ("/a/../" is "/"), which S3
 * forbids, and the one with a header of several lines, which HTTP/1.1 forbids (RFC 9112, 5.2).
 */
#ifndef PGPROOF_UNIT_AWS_SIGN_VECTORS_H
#define PGPROOF_UNIT_AWS_SIGN_VECTORS_H

#include "store/aws_sign.h"

struct aws_vector {
    const char *name;
    const char *method;
    const char *path;           /* not encoded */
    struct aws_param params[4]; /* not encoded; in the order of the request */
    const char *headers[8];     /* in the order of the request */
    const char *body;           /* NULL: none */
    const char *signed_headers;
    const char *signature;
};

struct aws_vector_suite {
    const char *access_key_id, *secret_access_key, *region, *service;
    moment_us at;
    const struct aws_vector *vectors;
    size_t count;
};

#define HOST        "Host:example.amazonaws.com"
#define DATE        "X-Amz-Date:20150830T123600Z"
#define UNRESERVED  "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define SUITE_TOKEN "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
#define STS_TOKEN                                                                                  \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSP" \
    "fIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT" \
    "7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlz" \
    "m8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static const struct aws_vector suite_vectors[] = {
    {.name = "get-header-key-duplicate",
     .method = "GET",
     .path = "/",
     .headers = {HOST, "My-Header1:value2", "My-Header1:value2", "My-Header1:value1", DATE},
     .signed_headers = "host;my-header1;x-amz-date",
     .signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {.name = "get-header-value-order",
     .method = "GET",
     .path = "/",
     .headers = {HOST, "My-Header1:value4", "My-Header1:value1", "My-Header1:value3",
                 "My-Header1:value2", DATE},
     .signed_headers = "host;my-header1;x-amz-date",
     .signature = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {.name = "get-header-value-trim",
     .method = "GET",
     .path = "/",
     .headers = {HOST, "My-Header1: value1", "My-Header2: \"a   b   c\"", DATE},
     .signed_headers = "host;my-header1;my-header2;x-amz-date",
     .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {.name = "get-relative-unnormalized",
     .method = "GET",
     .path = "/example/..",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"},
    {.name = "get-relative-relative-unnormalized",
     .method = "GET",
     .path = "/example1/example2/../..",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b"},
    {.name = "get-slash-dot-slash-unnormalized",
     .method = "GET",
     .path = "/./",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145"},
    {.name = "get-slash-pointless-dot-unnormalized",
     .method = "GET",
     .path = "/./example",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff"},
    {.name = "get-slash-unnormalized",
     .method = "GET",
     .path = "//",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e"},
    {.name = "get-slashes-unnormalized",
     .method = "GET",
     .path = "//example//",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
    {.name = "get-space-unnormalized",
     .method = "GET",
     .path = "/example space/",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {.name = "get-unreserved",
     .method = "GET",
     .path = "/" UNRESERVED,
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {.name = "get-utf8",
     .method = "GET",
     .path = "/\xe1\x88\xb4",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {.name = "get-vanilla",
     .method = "GET",
     .path = "/",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {.name = "get-vanilla-empty-query-key",
     .method = "GET",
     .path = "/",
     .params = {{"Param1", "value1"}},
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {.name = "get-vanilla-query-order-encoded",
     .method = "GET",
     .path = "/",
     .params = {{"Param-3", "Value3"}, {"Param", "Value2"}, {"\xe1\x88\xb4", "Value1"}},
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {.name = "get-vanilla-query-order-key",
     .method = "GET",
     .path = "/",
     .params = {{"Param1", "value2"}, {"Param1", "Value1"}},
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
    {.name = "get-vanilla-query-order-key-case",
     .method = "GET",
     .path = "/",
     .params = {{"Param2", "value2"}, {"Param1", "value1"}},
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {.name = "get-vanilla-query-order-value",
     .method = "GET",
     .path = "/",
     .params = {{"Param1", "value2"}, {"Param1", "value1"}},
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {.name = "get-vanilla-query-unreserved",
     .method = "GET",
     .path = "/",
     .params = {{UNRESERVED, UNRESERVED}},
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {.name = "get-vanilla-utf8-query",
     .method = "GET",
     .path = "/",
     .params = {{"\xe1\x88\xb4", "bar"}},
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {.name = "get-vanilla-with-session-token",
     .method = "GET",
     .path = "/",
     .headers = {HOST, DATE, "X-Amz-Security-Token:" SUITE_TOKEN},
     .signed_headers = "host;x-amz-date;x-amz-security-token",
     .signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {.name = "post-header-key-sort",
     .method = "POST",
     .path = "/",
     .headers = {HOST, "My-Header1:value1", DATE},
     .signed_headers = "host;my-header1;x-amz-date",
     .signature = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {.name = "post-header-value-case",
     .method = "POST",
     .path = "/",
     .headers = {HOST, "My-Header1:VALUE1", DATE},
     .signed_headers = "host;my-header1;x-amz-date",
     .signature = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {.name = "post-sts-header-before",
     .method = "POST",
     .path = "/",
     .headers = {HOST, DATE, "X-Amz-Security-Token:" STS_TOKEN},
     .signed_headers = "host;x-amz-date;x-amz-security-token",
     .signature = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {.name = "post-vanilla",
     .method = "POST",
     .path = "/",
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {.name = "post-vanilla-query",
     .method = "POST",
     .path = "/",
     .params = {{"Param1", "value1"}},
     .headers = {HOST, DATE},
     .signed_headers = "host;x-amz-date",
     .signature = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {.name = "post-x-www-form-urlencoded",
     .method = "POST",
     .path = "/",
     .headers = {"Content-Type:application/x-www-form-urlencoded", HOST, "Content-Length:13",
                 "x-amz-content-sha256:"
                 "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
                 DATE},
     .body = "Param1=value1",
     .signed_headers = "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
     .signature = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
    {.name = "post-x-www-form-urlencoded-parameters",
     .method = "POST",
     .path = "/",
     .headers = {"Content-Type:application/x-www-form-urlencoded; charset=utf-8", HOST,
                 "Content-Length:13",
                 "x-amz-content-sha256:"
                 "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
                 DATE},
     .body = "Param1=value1",
     .signed_headers = "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
     .signature = "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"},
};

#define S3_HOST "Host:examplebucket.s3.amazonaws.com"
#define S3_DATE "x-amz-date:20130524T000000Z"
#define S3_EMPTY                                                                                   \
    "x-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct aws_vector s3_vectors[] = {
    {.name = "GET Object",
     .method = "GET",
     .path = "/test.txt",
     .headers = {S3_HOST, "Range:bytes=0-9", S3_EMPTY, S3_DATE},
     .signed_headers = "host;range;x-amz-content-sha256;x-amz-date",
     .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {.name = "PUT Object",
     .method = "PUT",
     .path = "/test$file.text",
     .headers = {S3_HOST, "Date:Fri, 24 May 2013 00:00:00 GMT", S3_DATE,
                 "x-amz-storage-class:REDUCED_REDUNDANCY",
                 "x-amz-content-sha256:"
                 "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
     .body = "Welcome to Amazon S3.",
     .signed_headers = "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {.name = "GET Bucket Lifecycle",
     .method = "GET",
     .path = "/",
     .params = {{"lifecycle", ""}},
     .headers = {S3_HOST, S3_DATE, S3_EMPTY},
     .signed_headers = "host;x-amz-content-sha256;x-amz-date",
     .signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {.name = "Get Bucket (List Objects)",
     .method = "GET",
     .path = "/",
     .params = {{"max-keys", "2"}, {"prefix", "J"}},
     .headers = {S3_HOST, S3_DATE, S3_EMPTY},
     .signed_headers = "host;x-amz-content-sha256;x-amz-date",
     .signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static const struct aws_vector_suite aws_vector_suites[] = {
    {.access_key_id = "AKIDEXAMPLE",
     .secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
     .region = "us-east-1",
     .service = "service",
     .at = 1440938160000000,
     .vectors = suite_vectors,
     .count = sizeof(suite_vectors) / sizeof(suite_vectors[0])},
    {.access_key_id = "AKIAIOSFODNN7EXAMPLE",
     .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
     .region = "us-east-1",
     .service = "s3",
     .at = 1369353600000000,
     .vectors = s3_vectors,
     .count = sizeof(s3_vectors) / sizeof(s3_vectors[0])},
};

#endif
