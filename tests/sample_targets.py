"""A target for every parameter that names something on LinkedIn."""

from __future__ import annotations


SAMPLE_TARGETS = {
    "person_url": "https://www.linkedin.com/in/ada",
    "person_hashed_url": "https://www.linkedin.com/in/ACoAAB1",
    "company_url": "https://www.linkedin.com/company/acme",
    "company_hashed_url": "https://www.linkedin.com/company/1035",
    "post_url": "https://www.linkedin.com/feed/update/urn:li:activity:7461747",
    "post_urn": "urn:li:activity:7461747",
    "comment_url": "https://www.linkedin.com/feed/update/urn:li:activity:7461747"
    "?dashCommentUrn=urn:li:fsd_comment:(1,urn:li:activity:7461747)",
    "job_url": "https://www.linkedin.com/jobs/view/4012345",
    "newsletter_url": "https://www.linkedin.com/newsletters/news-67123456789",
    "thread_id": "2-YWRh",
}
"""By the parameter's name."""
