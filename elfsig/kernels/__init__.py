"""What each kernel answers: tables, and the policy that reads them."""
